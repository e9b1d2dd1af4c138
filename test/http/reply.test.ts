/** Slow replies: the true status while it can be told, then white space, then the document. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import { type Exchange, sendError, sendReply } from '../../gateway/http/reply.js';
import type { XmlValue } from '../../gateway/s3/types.js';

const test = suite('http/reply');

type Document = { [root: string]: XmlValue };

/** @param seen told of all that has come so far */
async function slow(
  work: () => Promise<Document>,
  seen: (text: string) => void = () => {},
): Promise<{ status: number; body: string; late: string | undefined }> {
  let late: string | undefined;
  const server = http.createServer(async (incoming, outgoing) => {
    const exchange: Exchange = {
      incoming,
      outgoing,
      requestId: 'R',
      hostId: 'H',
      resource: '/b/k',
      bucket: 'b',
      key: 'k',
      awaitsContinue: false,
      last: true,
      pace: { first: 100, every: 50 },
    };
    try {
      late = (await sendReply(exchange, { body: { slowXml: work() } }))?.code;
    } catch (error) {
      await sendError(exchange, error as S3Error);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const reply = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/b/k`);
  let body = '';
  for await (const piece of reply.body!) seen((body += Buffer.from(piece).toString()));
  await new Promise((resolve) => server.close(resolve));
  return { status: reply.status, body, late };
}

test('quick success', async () => {
  const { status, body } = await slow(async () => ({ Error: { A: 1 } }));
  assert.is(status, 200);
  assert.is(body, '<?xml version="1.0" encoding="UTF-8"?>\n<Error><A>1</A></Error>');
});

test('quick failure has its status', async () => {
  const { status, body } = await slow(async () => {
    throw new S3Error('InvalidPart');
  });
  assert.is(status, 400);
  assert.match(body, /<Code>InvalidPart<\/Code>/);
});

test('slow success', async () => {
  let end = (_: Document): void => {};
  const work = new Promise<Document>((resolve) => (end = resolve));
  const { status, body } = await slow(
    () => work,
    (text) => text.endsWith('    ') && end({ Error: { A: 1 } }),
  );
  assert.is(status, 200);
  assert.match(body, /^<\?xml version="1.0" encoding="UTF-8"\?>\n {4,}<Error><A>1<\/A><\/Error>$/);
});

test('slow failure comes in the document, and is reported', async () => {
  const { status, body, late } = await slow(async () => {
    await sleep(250);
    throw new Error('disk');
  });
  assert.is(status, 200);
  assert.match(body, /<Error><Code>InternalError<\/Code>.*<RequestId>R<\/RequestId>/);
  assert.is(late, 'InternalError');
});

test.run();
