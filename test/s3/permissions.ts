/** Buckets of anna's, and what bert and nobody get of them: for the tests of permissions over HTTP. */
import * as assert from 'uvu/assert';
import { type Answer, element, type Name, type Sent, startStage } from '../http/stage.js';

export const anna = '00000000-0000-0000-0000-00000000anna';
export const bert = '00000000-0000-0000-0000-00000000bert';
/** Null: anonymous. */
export type Who = Name | null;

export const stage = await startStage();
let count = 0;

export const put = (url: string, sent: Sent = {}) => stage.send(url, { method: 'PUT', ...sent });
export const get = (url: string, as: Who = 'anna', headers = {}) => stage.send(url, { as, headers });
export const remove = (url: string, as: Who = 'anna') => stage.send(url, { method: 'DELETE', as });
export const done = async (work: Promise<Answer>): Promise<Answer> => {
  const answer = await work;
  assert.ok(answer.status < 300, `${answer.status} ${answer.body}`);
  return answer;
};
export const refused = async (work: Promise<Answer>, code: string): Promise<Answer> => {
  const answer = await work;
  assert.is(element(answer, 'Code'), code, `${answer.status} ${answer.body}`);
  return answer;
};
export const denied = (work: Promise<Answer>) => refused(work, 'AccessDenied');
export const putDenied = (path: string, as: Who, headers = {}) => denied(put(path, { as, headers, body: 'x' }));

/** A new bucket of anna's with the objects `k` and `sub/k`. */
export async function bucket(headers: Record<string, string> = {}): Promise<string> {
  const name = `b-${++count}`;
  await done(put(`/${name}`, { headers }));
  for (const key of ['k', 'sub/k']) await done(put(`/${name}/${key}`, { body: `content of ${key}` }));
  return name;
}
export const acl = (path: string, value: string) => done(put(`${path}?acl`, { headers: { 'x-amz-acl': value } }));
/** For everybody, about everything in the bucket, s3:GetObject, but for what is given. */
export const statement = (name: string, more: object = {}) => ({
  Effect: 'Allow',
  Principal: '*',
  Action: 's3:GetObject',
  Resource: [`arn:aws:s3:::${name}`, `arn:aws:s3:::${name}/*`],
  ...more,
});
export const policy = (name: string, ...statements: object[]) =>
  done(put(`/${name}?policy`, { body: JSON.stringify({ Version: '2012-10-17', Statement: statements }) }));
