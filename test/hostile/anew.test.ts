/** Requests that were let into a bucket which is another by the time they are complete. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKey, type Gateway, type Key, startGateway } from '../support/gateway.js';
import { type Answer, closeSockets, compose, exchange, type Request, send } from './wire.js';

const test = suite('hostile: buckets made anew');
let gateway: Gateway;
let bert: Key;

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn', '--durability', 'none'] });
  bert = await createKey(gateway.root);
});
test.after(async () => {
  closeSockets();
  assert.is(await gateway?.stop(), 0);
});

const done = async (request: Request): Promise<Answer> => {
  const answer = await send(gateway, request);
  assert.ok(answer.status! < 300, `${request.method} ${request.url}: ${answer.text}`);
  return answer;
};

/** The head and all but the last byte of the body, then `meanwhile`, then the last. */
function slowly(request: Request, meanwhile: () => Promise<unknown>): Promise<Answer> {
  const { head, body } = compose(gateway, request);
  return exchange(gateway, Buffer.concat([Buffer.from(head, 'latin1'), body.subarray(0, -1)]), async (socket) => {
    await sleep(200);
    await meanwhile();
    socket.write(body.subarray(-1));
  });
}

const remake = (b: string) => async () => {
  await done({ method: 'DELETE', url: `/${b}` });
  await done({ method: 'PUT', url: `/${b}` });
};

for (const [what, size] of [
  ['small', 5],
  ['large', 300_000],
] as const) {
  test(`a slow ${what} PUT does not land in a bucket that took the place of the one it was let into`, async () => {
    const b = `anew-${what}`;
    // Everybody might write into the old one; nobody else may into the new one.
    await done({ method: 'PUT', url: `/${b}`, headers: { 'x-amz-acl': 'public-read-write' } });
    const answer = await slowly({ method: 'PUT', url: `/${b}/k`, as: bert, body: 'x'.repeat(size) }, remake(b));
    assert.is(answer.code, 'NoSuchBucket', answer.text);
    assert.not.ok(existsSync(join(gateway.bucketPath(b), 'k')));
    assert.equal(left(b), []);
    await done({ method: 'PUT', url: `/${b}/k`, body: 'y'.repeat(size) });
  });
}

const left = (b: string): string[] => {
  const staging = join(gateway.bucketPath(b), '.tidegate/staging');
  return existsSync(staging) ? readdirSync(staging) : [];
};

test('a slow small PUT into a bucket that stays is stored, and leaves nothing aside', async () => {
  await done({ method: 'PUT', url: '/stays' });
  assert.is((await slowly({ method: 'PUT', url: '/stays/k', body: 'hello' }, () => sleep(50))).status, 200);
  assert.is((await done({ url: '/stays/k' })).body, 'hello');
  assert.equal(left('stays'), []);
});

test('a slow part does not land in the bucket made anew', async () => {
  await done({ method: 'PUT', url: '/parts' });
  const id = /<UploadId>([^<]+)/.exec((await done({ method: 'POST', url: '/parts/k?uploads' })).body)?.[1];
  const part = { method: 'PUT', url: `/parts/k?partNumber=1&uploadId=${id}`, body: 'part' };
  const answer = await slowly(part, remake('parts'));
  assert.match(answer.code ?? '', /^NoSuch(Bucket|Upload)$/, answer.text);
  assert.not.match((await done({ url: '/parts?uploads' })).body, '<Upload>');
});

test('a slow document does not land in the bucket made anew', async () => {
  const list = '<Delete><Object><Key>k</Key></Object></Delete>';
  await done({ method: 'PUT', url: '/listed', headers: { 'x-amz-acl': 'public-read-write' } });
  const answer = await slowly({ method: 'POST', url: '/listed?delete', as: bert, body: list }, async () => {
    await remake('listed')();
    await done({ method: 'PUT', url: '/listed/k', body: 'of the new one' });
  });
  assert.match(answer.text, 'AccessDenied');
  assert.is((await done({ url: '/listed/k' })).body, 'of the new one');
});

test.run();
