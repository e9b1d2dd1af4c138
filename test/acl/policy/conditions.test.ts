// biome-ignore-all lint/suspicious/noTemplateCurlyInString: so look the variables of policies
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { alice, allow, anonymous, ask, deny, policy } from '../people.js';

type Values = Record<string, string | string[]>;
/** Does a statement with this condition apply to a request with these values? */
const holds = (condition: object, context: Values = {}, identity = alice, effect: 'Allow' | 'Deny' = 'Allow') =>
  ask(policy((effect === 'Allow' ? allow : deny)({ Condition: condition })), { context, identity }) === effect;

const check = (operator: string, key: string, value: unknown, cases: [string | string[] | undefined, boolean][]) => {
  for (const [given, expected] of cases) {
    const context = given === undefined ? {} : { [key.toLowerCase()]: given };
    assert.is(holds({ [operator]: { [key]: value } }, context), expected, `${operator} ${value}: ${given}`);
  }
};

test('strings', () => {
  const key = 'aws:UserAgent';
  check(
    'StringEquals',
    key,
    ['a*', 'b'],
    [
      ['a*', true],
      ['ab', false],
      ['b', true],
      ['B', false],
      [undefined, false],
    ],
  );
  check(
    'StringNotEquals',
    key,
    ['a', 'b'],
    [
      ['a', false],
      ['c', true],
      [undefined, true],
    ],
  );
  check('StringEqualsIgnoreCase', key, 'Ab', [
    ['aB', true],
    ['abc', false],
  ]);
  check('StringNotEqualsIgnoreCase', key, 'Ab', [
    ['aB', false],
    ['abc', true],
    [undefined, true],
  ]);
  check('StringLike', key, 'a?c*', [
    ['abcd', true],
    ['abc', true],
    ['ac', false],
    ['Abc', false],
  ]);
  check(
    'StringNotLike',
    key,
    ['a*', 'b*'],
    [
      ['ax', false],
      ['cx', true],
      [undefined, true],
    ],
  );
});

test('numbers', () => {
  const key = 's3:max-keys';
  check('NumericEquals', key, '10', [
    ['10', true],
    ['1e1', true],
    ['11', false],
    ['x', false],
    [undefined, false],
  ]);
  check('NumericNotEquals', key, 10, [
    ['10', false],
    ['11', true],
    ['x', true],
    [undefined, true],
  ]);
  check('NumericLessThan', key, 10, [
    ['9.5', true],
    ['10', false],
    ['', false],
  ]);
  check('NumericLessThanEquals', key, 10, [
    ['10', true],
    ['11', false],
  ]);
  check('NumericGreaterThan', key, 10, [
    ['11', true],
    ['10', false],
    ['Infinity', false],
  ]);
  check('NumericGreaterThanEquals', key, 10, [
    ['10', true],
    ['9', false],
    ['-20', false],
  ]);
});

test('dates', () => {
  const key = 'aws:CurrentTime';
  const noon = '2026-06-01T12:00:00Z';
  check('DateEquals', key, noon, [
    ['2026-06-01T14:00:00+02:00', true],
    ['2026-06-01T12:00:01Z', false],
  ]);
  check('DateNotEquals', key, noon, [
    ['2026-06-01T12:00:00.000Z', false],
    [undefined, true],
  ]);
  check('DateLessThan', key, noon, [
    ['2026-06-01T11:59:59Z', true],
    [noon, false],
    ['junk', false],
  ]);
  check('DateLessThanEquals', key, noon, [[noon, true]]);
  check('DateGreaterThan', key, '2026-06-01', [
    [noon, true],
    ['2026-05-31T23:59:59Z', false],
  ]);
  check('DateGreaterThanEquals', 'aws:EpochTime', '2026-06-01T00:00:00Z', [
    ['1780272000', true],
    ['1780271999', false],
  ]);
});

test('booleans, binary, null', () => {
  check('Bool', 'aws:SecureTransport', 'false', [
    ['false', true],
    ['true', false],
    [undefined, false],
  ]);
  check('Bool', 'aws:SecureTransport', true, [['true', true]]);
  check('BinaryEquals', 'aws:UserAgent', 'QmluYXJ5', [
    ['QmluYXJ5', true],
    ['QmluYXJ6', false],
    ['?', false],
  ]);
  check('Null', 's3:x-amz-acl', 'true', [
    [undefined, true],
    ['private', false],
  ]);
  check('Null', 's3:x-amz-acl', false, [
    [undefined, false],
    ['private', true],
  ]);
});

test('addresses', () => {
  const key = 'aws:SourceIp';
  check(
    'IpAddress',
    key,
    ['192.0.2.0/24', '2001:db8::/33'],
    [
      ['192.0.2.255', true],
      ['192.0.3.0', false],
      ['::ffff:192.0.2.1', true],
      ['::ffff:c000:201', true],
      ['2001:db8:7fff::1', true],
      ['2001:db8:8000::1', false],
      ['fe80::1%eth0', false],
      ['not an address', false],
      [undefined, false],
    ],
  );
  check('IpAddress', key, '10.1.2.3', [
    ['10.1.2.3', true],
    ['10.1.2.4', false],
  ]);
  check('IpAddress', key, '10.1.2.3/8', [
    ['10.200.0.1', true],
    ['11.0.0.1', false],
  ]);
  check('IpAddress', key, '0.0.0.0/0', [
    ['203.0.113.9', true],
    ['2001:db8::1', false],
  ]);
  check('IpAddress', key, '::/0', [
    ['203.0.113.9', false],
    ['2001:db8::1', true],
    ['::1', true],
  ]);
  check('IpAddress', key, '::ffff:10.0.0.0/104', [
    ['10.9.9.9', true],
    ['11.9.9.9', false],
  ]);
  check('NotIpAddress', key, '192.0.2.0/24', [
    ['192.0.2.7', false],
    ['192.0.3.7', true],
    [undefined, true],
  ]);
});

test('ARNs are compared part by part', () => {
  const key = 'aws:PrincipalArn';
  const like = (pattern: string) => holds({ ArnLike: { [key]: pattern } });
  assert.is(like('arn:aws:iam::users:user/alice'), true);
  assert.is(like('arn:aws:iam::*:user/al*'), true);
  assert.is(like('arn:aws:*:::user/alice'), false, 'a star does not span the colons');
  assert.is(holds({ ArnEquals: { [key]: 'arn:aws:iam::use*:user/${aws:username}' } }), true);
  assert.is(holds({ ArnNotLike: { [key]: 'arn:aws:iam::*:user/bob' } }), true);
  assert.is(holds({ ArnNotEquals: { [key]: 'arn:aws:iam::*:user/alice' } }), false);
  assert.is(holds({ ArnLike: { [key]: 'arn:aws:iam::*:*' } }, {}, anonymous), false);
});

test('IfExists', () => {
  check('StringLikeIfExists', 'aws:Referer', 'http://x/*', [
    ['http://x/y', true],
    ['http://z', false],
    [undefined, true],
  ]);
  check('StringNotEqualsIfExists', 'aws:Referer', 'x', [
    ['x', false],
    [undefined, true],
  ]);
  check('IpAddressIfExists', 'aws:SourceIp', '10.0.0.0/8', [
    [undefined, true],
    ['11.0.0.1', false],
  ]);
});

test('sets', () => {
  const key = 's3:RequestObjectTagKeys';
  check(
    'ForAllValues:StringEquals',
    key,
    ['a', 'b'],
    [
      [['a', 'b'], true],
      [['a', 'c'], false],
      [[], true],
      [undefined, true],
    ],
  );
  check(
    'ForAnyValue:StringEquals',
    key,
    ['a', 'b'],
    [
      [['c', 'b'], true],
      [['c'], false],
      [[], false],
      [undefined, false],
    ],
  );
  check(
    'ForAllValues:StringNotEquals',
    key,
    ['a'],
    [
      [['b', 'c'], true],
      [['a', 'c'], false],
    ],
  );
  check(
    'ForAnyValue:StringNotLike',
    key,
    ['a*'],
    [
      [['ab', 'c'], true],
      [['ab'], false],
      [undefined, false],
    ],
  );
  check(
    'ForAnyValue:StringEqualsIfExists',
    key,
    ['a'],
    [
      [undefined, true],
      [['b'], false],
    ],
  );
  check('StringEquals', key, 'a', [
    [['x', 'a'], true],
    [['x'], false],
  ]);
  check('StringNotEquals', key, 'a', [
    [['x', 'a'], false],
    [['x'], true],
  ]);
});

test('all operators and all keys of an operator must hold', () => {
  const condition = {
    StringEquals: { 'aws:Referer': 'r', 's3:prefix': ['p', 'q'] },
    Bool: { 'aws:SecureTransport': 'true' },
  };
  const good = { 'aws:referer': 'r', 's3:prefix': 'q', 'aws:securetransport': 'true' };
  assert.is(holds(condition, good), true);
  for (const key of Object.keys(good)) assert.is(holds(condition, { ...good, [key]: 'x' }), false, key);
});

test('keys go without case, the names of tags with it', () => {
  assert.is(holds({ StringEquals: { 'AWS:REFERER': 'r' } }, { 'aws:referer': 'r' }), true);
  const tag = { StringEquals: { 'S3:existingobjecttag/Project': 'x' } };
  assert.is(holds(tag, { 's3:existingobjecttag/Project': 'x' }), true);
  assert.is(holds(tag, { 's3:existingobjecttag/project': 'x' }), false);
});

test('what follows from the caller cannot be told by the context', () => {
  const lie = { 'aws:username': 'bob', 'aws:userid': 'id-bob', 's3:resourceaccount': 'id-bob' };
  assert.is(holds({ StringEquals: { 'aws:username': 'bob' } }, lie), false);
  assert.is(holds({ StringEquals: { 'aws:username': 'alice', 'aws:userid': 'id-alice' } }, lie), true);
  assert.is(holds({ StringEquals: { 's3:ResourceAccount': 'id-owner' } }, lie), true);
  assert.is(holds({ Null: { 'aws:username': 'true' } }, lie, anonymous), true);
  assert.is(holds({ StringEquals: { 'aws:PrincipalType': 'Anonymous' } }, lie, anonymous), true);
});

test('variables', () => {
  const key = 'aws:UserAgent';
  check('StringEquals', key, '${aws:username}', [
    ['alice', true],
    ['${aws:username}', false],
  ]);
  check('StringEquals', key, "${aws:UserName}-${s3:prefix, 'none'}", [['alice-none', true]]);
  check('StringEqualsIgnoreCase', key, 'X${aws:username}', [['xALICE', true]]);
  check('StringLike', key, '${*}-${?}-${$}*', [
    ['*-?-$x', true],
    ['a-b-$x', false],
  ]);
  // A value never acts as a pattern.
  assert.is(holds({ StringLike: { [key]: 'a/${s3:prefix}' } }, { 's3:prefix': '*', 'aws:useragent': 'a/b' }), false);
});

test('a variable without a value opens nothing', () => {
  const given = { 'aws:useragent': 'x' };
  const equal = { StringEquals: { 'aws:UserAgent': '${aws:username}' } };
  const different = { StringNotEquals: { 'aws:UserAgent': '${aws:username}' } };
  assert.is(holds(equal, given, anonymous, 'Allow'), false);
  assert.is(holds(different, given, anonymous, 'Allow'), false);
  assert.is(holds(different, given, anonymous, 'Deny'), true);
});

test('before version 2012-10-17 there are no variables', () => {
  const old = policy(allow({ Condition: { StringEquals: { 'aws:UserAgent': '${aws:username}' } } }), '2008-10-17');
  assert.is(ask(old, { context: { 'aws:useragent': '${aws:username}' } }), 'Allow');
  assert.is(ask(old, { context: { 'aws:useragent': 'alice' } }), 'neither');
});

test.run();
