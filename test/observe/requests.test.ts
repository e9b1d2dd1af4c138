import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import { createLog } from '../../gateway/observe/log.js';
import { createRequestLog, type RequestLine } from '../../gateway/observe/requests.js';

const test = suite('observe/requests');
const line: RequestLine = {
  requestId: 'R',
  method: 'GET',
  url: '/',
  operation: 'GetObject',
  status: 200,
  account: undefined,
  peer: undefined,
  ms: 1,
};

function requestLog(pause?: number) {
  // biome-ignore lint/suspicious/noExplicitAny: lines are looked into, not typed
  const lines: any[] = [];
  const destination = { write: (text: string) => void lines.push(JSON.parse(text)) };
  return { lines, ...createRequestLog(createLog({ level: 'debug', destination }), pause) };
}

test('a level for each kind of end; 5xx with the cause', () => {
  const { lines, record } = requestLog();
  record(() => line, undefined);
  record(() => line, new S3Error('NoSuchKey'));
  record(() => line, new Error('gone'));
  record(() => line, new S3Error('NotImplemented'));
  record(() => line, new S3Error('InternalError', { cause: new Error('why') }));
  assert.equal(
    lines.map(({ level, code }) => [level, code]),
    [
      ['debug', undefined],
      ['debug', 'NoSuchKey'],
      ['debug', 'ClientGone'],
      ['info', 'NotImplemented'],
      ['error', 'InternalError'],
    ],
  );
  assert.is(lines[4].err.cause.message, 'why');
});

test('a flood of SlowDown is one line at once, then one in a while with the number', async () => {
  const { lines, record } = requestLog(30);
  const counts = () => lines.map(({ count }) => count);
  for (let i = 0; i < 500; i++) record(() => line, new S3Error('SlowDown', { cause: new Error(`${i}`) }));
  assert.equal(counts(), [1]);
  await sleep(60);
  assert.equal(counts(), [1, 499]);
  assert.is(lines[1].err.message, '499');
  await sleep(60);
  record(() => line, undefined, [new S3Error('SlowDown'), new S3Error('AccessDenied')]);
  assert.equal(counts(), [1, 499, undefined, 1]);
});

test.run();
