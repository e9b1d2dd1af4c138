/** Requests that are on their way while their sender loses what let him in. */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { KeyWithSecret } from '../../acl/registry.js';
import { signV4 } from '../auth/signer.js';
import {
  allow,
  boss,
  deny,
  document,
  done,
  form,
  iam,
  newUser,
  registry,
  send,
  stage,
  storage,
  una,
} from './ground.js';

const test = suite('iam/midway');
test.after(() => stage.close());

interface Slow {
  method?: string;
  url: string;
  body: string;
  service?: string;
  headers?: Record<string, string>;
  /** Milliseconds between the headers and what is done meanwhile. */
  after?: number;
}

/** Sends the headers, does `meanwhile`, and then sends the body. */
function slowly(
  as: Pick<KeyWithSecret, 'secret'> & { key: { accessKey: string } },
  { method = 'PUT', url, body, service = 's3', headers: given = {}, after = 100 }: Slow,
  meanwhile: () => Promise<unknown>,
): Promise<string> {
  const all = { host: `127.0.0.1:${stage.port}`, ...given };
  const keys = { accessKey: as.key.accessKey, secret: as.secret, service };
  const { headers } = signV4({ method, url, headers: all }, keys, Buffer.from(body));
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        port: stage.port,
        host: '127.0.0.1',
        method,
        path: url,
        headers: { ...headers, 'content-length': body.length },
      },
      (reply) => {
        let text = '';
        reply.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        reply.on('end', () => resolve(`${reply.statusCode} ${text}`));
      },
    );
    request.on('error', reject);
    request.write(body.slice(0, 1));
    setTimeout(() => meanwhile().then(() => request.end(body.slice(1)), reject), after);
  });
}

const policyOf = async (name: string) => (await storage.bucket(name))?.config['policy'];
const open = (b: string) =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${b}/*` }],
  });

test('a document that comes after its key was disabled, replaced or deleted changes nothing', async () => {
  await done(send(una, '/of-una', { method: 'PUT' }));
  const ways: ((id: string) => Promise<unknown>)[] = [
    (id) => registry.setEnabled(id, false),
    (id) => registry.reset(id),
    (id) => registry.rotate(id),
    (id) => registry.remove(id),
  ];
  for (const way of ways) {
    const spare = await registry.createKey(una.account);
    const { accessKey } = spare.key;
    const answer = await slowly(spare, { url: '/of-una?policy', body: open('of-una') }, () => way(accessKey));
    assert.match(answer, /^403 .*<Code>AccessDenied/s);
    assert.is(await policyOf('of-una'), undefined);
    for (const { key } of await registry.list()) {
      if (key.account === una.account.uuid && key.accessKey !== una.key.accessKey) await registry.remove(key.accessKey);
    }
  }
  assert.match(await slowly(una, { url: '/of-una?policy', body: open('of-una') }, async () => {}), /^204/);
});

test('a form of IAM whose key has another secret by now changes nothing', async () => {
  const spare = await registry.createKey(boss.account);
  const body = form({ Action: 'CreateUser', UserName: 'late' });
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const answer = await slowly(spare, { method: 'POST', url: '/', body, service: 'iam', headers }, () =>
    registry.reset(spare.key.accessKey),
  );
  assert.match(answer, /^403 /);
  assert.not.ok((await registry.accounts()).some(({ displayName }) => displayName === 'late'));
  await registry.remove(spare.key.accessKey);
});

test('a bucket is not made by somebody who may not any more', async () => {
  const maker = await newUser('maker');
  const give = (...statements: object[]) =>
    done(iam(boss, 'PutUserPolicy', { UserName: 'maker', PolicyName: 'p', PolicyDocument: document(...statements) }));
  await give(allow('s3:*'));
  const body = '<CreateBucketConfiguration/>';
  const denied = () => give(allow('s3:*'), deny('s3:CreateBucket'));
  assert.match(await slowly(maker, { url: '/of-maker', body }, denied), /^403 .*<Code>AccessDenied/s);
  assert.is(await storage.bucket('of-maker'), undefined);
  await give(allow('s3:*'));
  assert.match(await slowly(maker, { url: '/of-maker', body }, async () => {}), /^200/);
});

test('tags are not set under a policy about tags that came meanwhile', async () => {
  const tagger = await newUser('tagger');
  const give = (...statements: object[]) =>
    done(iam(boss, 'PutUserPolicy', { UserName: 'tagger', PolicyName: 'p', PolicyDocument: document(...statements) }));
  await give(allow('s3:*'));
  await done(send(tagger, '/of-tagger', { method: 'PUT' }));
  await done(send(tagger, '/of-tagger/k', { method: 'PUT', body: 'x', headers: { 'x-amz-tagging': 'class=secret' } }));
  const body = '<Tagging><TagSet><Tag><Key>class</Key><Value>public</Value></Tag></TagSet></Tagging>';
  const Condition = { StringEquals: { 's3:ExistingObjectTag/class': 'secret' } };
  const answer = await slowly(tagger, { url: '/of-tagger/k?tagging', body }, () =>
    give(allow('s3:*'), { ...deny('s3:PutObjectTagging'), Condition }),
  );
  assert.match(answer, /^403 .*<Code>AccessDenied/s);
  assert.match((await send(tagger, '/of-tagger/k?tagging')).body, /secret/);
});

test('an object whose bytes were long on their way is not stored with a key that is gone', async () => {
  await done(send(una, '/slow', { method: 'PUT' }));
  const spare = await registry.createKey(una.account);
  const late = { url: '/slow/late', body: 'late', after: 1_500 };
  const answer = await slowly(spare, late, () => registry.remove(spare.key.accessKey));
  assert.match(answer, /^403 .*<Code>AccessDenied/s);
  assert.is((await send(una, '/slow/late')).status, 404);
  assert.match(await slowly(una, late, () => sleep(1)), /^200/);
});

test.run();
