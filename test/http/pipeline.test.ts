/** What requests of every kind have in common, through the whole gateway over the memory store. */
import { setFlagsFromString } from 'node:v8';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import { operations } from '../../gateway/s3/operations.js';
import type { Context } from '../../gateway/s3/types.js';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import type { Storage } from '../../gateway/storage/types.js';
import { hmacV2 } from '../auth/signer.js';
import { element, elements, keys, type Stage, startStage } from './stage.js';

const test = suite('http/pipeline');

async function staged(
  work: (stage: Stage) => Promise<void>,
  options: Parameters<typeof startStage>[0] = {},
): Promise<void> {
  const stage = await startStage(options);
  try {
    await stage.send('/bkt', { method: 'PUT' });
    await work(stage);
  } finally {
    await stage.close();
  }
}

test('a copy from nowhere names the source', () =>
  staged(async (stage) => {
    const headers = { 'x-amz-copy-source': 'bkt/none' };
    const reply = await stage.send('/bkt/dst', { method: 'PUT', headers });
    assert.is(element(reply, 'Code'), 'NoSuchKey');
    assert.is(element(reply, 'Key'), 'none');
    assert.is(element(reply, 'Resource'), '/bkt/dst');
  }));

test('Location is an address under which the object is found, in path style and in host style', () =>
  staged(
    async (stage) => {
      const conditions = [{ bucket: 'bkt' }, ['starts-with', '$key', ''], { success_action_status: '201' }];
      const terms = { expiration: '2999-01-01T00:00:00Z', conditions };
      const policy = Buffer.from(JSON.stringify(terms)).toString('base64');
      const signed = { policy, AWSAccessKeyId: keys.anna.accessKey, signature: hmacV2(keys.anna.secret, policy) };
      const host = `bkt.s3.test:${stage.port}`;
      for (const [path, headers, expected] of [
        ['/bkt', {}, `http://127.0.0.1:${stage.port}/bkt/a%20b/c`],
        ['', { host }, `http://${host}/a%20b/c`],
      ] as [string, Record<string, string>, string][]) {
        const at = (query: string) => `${path}/a%20b/c${query}`;
        const begun = await stage.send(at('?uploads='), { method: 'POST', headers });
        const id = element(begun, 'UploadId');
        const part = await stage.send(at(`?partNumber=1&uploadId=${id}`), { method: 'PUT', body: 'x', headers });
        const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers.etag}</ETag></Part></CompleteMultipartUpload>`;
        const done = await stage.send(at(`?uploadId=${id}`), { method: 'POST', body, headers });
        assert.is(element(done, 'Location'), expected);

        const fields = { ...signed, key: 'a b/c', success_action_status: '201', file: 'x' };
        const parts = Object.entries(fields).map(
          ([name, text]) => `--XX\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${text}\r\n`,
        );
        const posted = await stage.send(path || '/', {
          method: 'POST',
          as: null,
          headers: { ...headers, 'content-type': 'multipart/form-data; boundary=XX' },
          body: `${parts.join('')}--XX--\r\n`,
        });
        assert.is(posted.status, 201, posted.body);
        assert.is(element(posted, 'Location'), expected);
        assert.is(posted.headers.location, expected);
      }
    },
    { hostStyle: ['s3.test'] },
  ));

test('a key that DeleteObjects cannot delete is logged with the cause, and told without it', () => {
  const storage: Storage = {
    ...createMemoryStorage(),
    remove: async (_at, key) => {
      if (key === 'bad') throw new Error('the disk is on fire');
      if (key === 'denied') throw new S3Error('AccessDenied');
      return true;
    },
  };
  return staged(
    async (stage) => {
      const body = `<Delete>${['good', 'bad', 'denied'].map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`;
      const reply = await stage.send('/bkt?delete=', { method: 'POST', body });
      assert.is(reply.status, 200);
      assert.equal(elements(reply, 'Code'), ['InternalError', 'AccessDenied']);
      assert.not.match(reply.body, 'fire');
      const failed = stage.log.filter(({ level }) => level === 'error');
      assert.is(failed.length, 1);
      assert.is(failed[0]?.['operation'], 'DeleteObjects');
      assert.match(JSON.stringify(failed[0]?.['err']), 'the disk is on fire');
    },
    { storage },
  );
});

test('a handler that looks for a bucket where there is none is found by the log', () =>
  staged(async (stage) => {
    const row: { handler?: unknown } = operations.find(({ name }) => name === 'ListBuckets')!;
    const { handler } = row;
    row.handler = ({ place }: Context) => place.bucket;
    try {
      const reply = await stage.send('/');
      assert.is(element(reply, 'Code'), 'InternalError');
    } finally {
      row.handler = handler;
    }
    assert.match(JSON.stringify(stage.log), /ListBuckets has no place, but its handler asks for \W*bucket/);
  }));

/** V8 puts the accessors of an object into old memory, and they hold the request until that is collected. */
test('what handlers get for each request has no accessors, nor another hidden class for each', () =>
  staged(async (stage) => {
    setFlagsFromString('--allow-natives-syntax');
    const alike = new Function('a', 'b', 'return %HasFastProperties(a) && %HaveSameMap(a, b)');
    await stage.send('/bkt/key', { method: 'PUT', body: 'x' });
    const row: { handler?: unknown } = operations.find(({ name }) => name === 'HeadObject')!;
    const { handler } = row;
    const seen: unknown[] = [];
    row.handler = (context: Context) => {
      seen.push(context, context.storage, context.place);
      return (handler as (context: Context) => unknown)(context);
    };
    try {
      for (let times = 0; times < 3; times++) await stage.send('/bkt/key', { method: 'HEAD' });
    } finally {
      row.handler = handler;
    }
    assert.is(seen.length, 9);
    for (const at of [0, 1, 2]) assert.ok(alike(seen[at + 3], seen[at + 6]), `${at}`);
  }));

test.run();
