// biome-ignore-all lint/suspicious/noTemplateCurlyInString: so look the variables of policies
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { factKeys, headerKeys, queryKeys } from '../../../acl/policy/condition-keys.js';
import { asksForTags, contextOf, type RequestFacts, withValues } from '../../../acl/policy/context.js';
import { allow, policy } from '../people.js';

const facts: RequestFacts = {
  sourceIp: '::ffff:192.0.2.1',
  now: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  secure: true,
  tlsVersion: '1.3',
  header: (name) => `header ${name}`,
  query: (name) => `query ${name}`,
  copySource: () => 'src/a b',
  signature: { version: 'AWS4-HMAC-SHA256', type: 'REST-QUERY-STRING', age: 1500 },
  createsObject: true,
  existingTags: { Project: 'x' },
  requestTags: () => ({ a: '1', b: '2' }),
};

test('every key that policies may use has a value', () => {
  const context = contextOf(facts);
  for (const key of [...headerKeys.keys(), ...queryKeys.keys(), ...factKeys]) {
    assert.ok(context.get(key)?.length, `${key} has no value: conditions on it would be ignored`);
  }
});

test('values', () => {
  const context = contextOf(facts);
  const expected: [string, string[]][] = [
    ['aws:sourceip', ['192.0.2.1']],
    ['aws:currenttime', ['2026-01-02T03:04:05.678Z']],
    ['aws:epochtime', ['1767323045']],
    ['aws:securetransport', ['true']],
    ['s3:x-amz-copy-source', ['src/a b', '/src/a b']],
    ['s3:x-amz-acl', ['header x-amz-acl']],
    ['aws:useragent', ['header user-agent']],
    ['s3:versionid', ['query versionId']],
    ['s3:signatureage', ['1500']],
    ['s3:objectcreationoperation', ['true']],
    ['s3:existingobjecttag/Project', ['x']],
    ['s3:requestobjecttag/b', ['2']],
    ['s3:requestobjecttagkeys', ['a', 'b']],
  ];
  for (const [key, values] of expected) assert.equal(context.get(key), values, key);
});

test('what a request does not have is absent', () => {
  const nothing = () => undefined;
  const bare = contextOf({ sourceIp: undefined, now: 0, secure: false, header: nothing, query: nothing });
  for (const key of [...headerKeys.keys(), ...queryKeys.keys(), 'aws:sourceip', 's3:x-amz-copy-source']) {
    assert.is(bare.get(key), undefined, key);
  }
  assert.is(contextOf(facts).get('s3:existingobjecttag/constructor'), undefined);
  assert.equal(bare.get('aws:securetransport'), ['false']);
});

test('one value replaced', () => {
  const context = withValues(contextOf(facts), 's3:prefix', ['a/']);
  assert.equal(context.get('s3:prefix'), ['a/']);
  assert.equal(context.get('s3:delimiter'), ['query delimiter']);
});

test('policies say whether they need the tags of an object', () => {
  assert.is(asksForTags(policy(allow())), false);
  assert.is(asksForTags(policy(allow({ Condition: { Null: { 's3:ExistingObjectTag/x': 'true' } } }))), true);
  assert.is(asksForTags(policy(allow({ Resource: 'b/${s3:ExistingObjectTag/x}/*' }))), true);
});

test.run();
