/** A gateway over the memory store with two groups, their managers and a user each: for the tests of IAM over HTTP. */
import { randomBytes } from 'node:crypto';
import * as assert from 'uvu/assert';
import type { Account } from '../../acl/identity.js';
import { createRegistry, type KeyWithSecret } from '../../acl/registry.js';
import { createSealer } from '../../gateway/auth/credentials.js';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import { signV4 } from '../auth/signer.js';
import { type Answer, element, startStage } from '../http/stage.js';

export const storage = createMemoryStorage();
export const registry = createRegistry({ documents: storage.documents, sealer: createSealer(randomBytes(32)) });
export const stage = await startStage({ storage, registry, identities: registry.identities, maxKeys: 3 });

async function make(displayName: string, group: string, kind: Account['kind']): Promise<KeyWithSecret> {
  const actor = { uid: 1000, gid: 1000, groups: [1000] };
  return registry.createKey(await registry.createAccount({ displayName, group, kind, actor, unique: true }));
}
export const boss = await make('boss', 'g', 'manager');
export const una = await make('una', 'g', 'user');
export const chief = await make('chief', 'h', 'manager');
export const hans = await make('hans', 'h', 'user');

export type Caller = Pick<KeyWithSecret, 'secret'> & { key: { accessKey: string } };

/** Any request, signed as a client of this service would. */
export function send(
  as: Caller,
  url: string,
  sent: { method?: string; headers?: Record<string, string>; body?: string; service?: string; payload?: string } = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, body, service = 's3', payload } = sent;
  const all = { host: `127.0.0.1:${stage.port}`, ...headers };
  const keys = { accessKey: as.key.accessKey, secret: as.secret, service };
  const signed = signV4({ method, url, headers: all }, keys, payload ?? Buffer.from(body ?? ''));
  return stage.send(url, { method, headers: signed.headers, body, as: null } as Parameters<typeof stage.send>[1]);
}

export const form = (params: Record<string, string>): string =>
  new URLSearchParams({ Version: '2010-05-08', ...params }).toString();

export const iam = (as: Caller, Action: string, params: Record<string, string> = {}): Promise<Answer> =>
  send(as, '/', {
    method: 'POST',
    service: 'iam',
    headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
    body: form({ Action, ...params }),
  });

export async function done(work: Promise<Answer>): Promise<Answer> {
  const answer = await work;
  assert.is(answer.status, 200, answer.body);
  return answer;
}

export async function refused(work: Promise<Answer>, code: string, status: number): Promise<Answer> {
  const answer = await work;
  assert.equal([element(answer, 'Code'), answer.status], [code, status], answer.body);
  assert.match(
    answer.body,
    /^<\?xml[^>]*>\s*<ErrorResponse xmlns="https:\/\/iam\.amazonaws\.com\/doc\/2010-05-08\/"><Error><Type>/,
  );
  return answer;
}

export const document = (...Statement: object[]): string => JSON.stringify({ Version: '2012-10-17', Statement });
export const allow = (Action: string | string[], Resource: string | string[] = '*') => ({
  Effect: 'Allow',
  Action,
  Resource,
});
export const deny = (Action: string | string[], Resource: string | string[] = '*') => ({
  ...allow(Action, Resource),
  Effect: 'Deny',
});

/** A user that IAM made, with a key. */
export async function newUser(name: string, by: Caller = boss): Promise<Caller & { uuid: string }> {
  const made = await done(iam(by, 'CreateUser', { UserName: name }));
  const key = await done(iam(by, 'CreateAccessKey', { UserName: name }));
  return {
    uuid: element(made, 'UserId')!,
    key: { accessKey: element(key, 'AccessKeyId')! },
    secret: element(key, 'SecretAccessKey')!,
  };
}
