// biome-ignore-all lint/suspicious/noTemplateCurlyInString: so look the variables of policies
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { actions } from '../../../acl/policy/actions.js';
import { parsePolicy } from '../../../acl/policy/parse.js';
import type { Scope } from '../../../acl/policy/types.js';
import { S3Error } from '../../../gateway/errors.js';
import { operations } from '../../../gateway/s3/operations.js';
import { processorMs } from '../../support/processor.js';
import { allow, type Draft, deny, text } from '../people.js';

function refused(policy: string, message: RegExp, scope: Scope = { bucket: 'b' }): void {
  try {
    parsePolicy(policy, scope);
  } catch (error) {
    assert.instance(error, S3Error);
    assert.is((error as S3Error).code, 'MalformedPolicy');
    assert.match((error as S3Error).message, message);
    return;
  }
  assert.unreachable(`accepted: ${policy.slice(0, 200)}`);
}

test('every action of the operation table is known', () => {
  for (const { action, open, api } of operations) if (!open && !api) assert.ok(actions.has(action), action);
});

test('what is accepted', () => {
  const accepted: Draft[] = [
    {},
    { Action: '*' },
    { Action: ['s3:Get*', 'S3:putobject'] },
    { Action: undefined, NotAction: 's3:DeleteBucket' },
    { Resource: 'arn:aws:s3:::b' },
    { Resource: ['arn:aws:s3:::b/*', 'b/x?y', '*', 'arn:aws:s3:::*/*', 'b*'] },
    { Resource: undefined, NotResource: 'b/private/*' },
    { Resource: 'b/home/${aws:username}/*' },
    { Principal: { AWS: '*' } },
    { Principal: { AWS: ['id-1', 'arn:aws:iam::climate:root', 'arn:aws:iam::id-1:user/path/alice'] } },
    { Principal: { CanonicalUser: 'id-1', DDN: ['2b8c1e5e-1d5a-4b47-8a33-5d8f0f7c2b11'] } },
    { Sid: 'Anything goes, even 日本語' },
    { Condition: {} },
    { Condition: { StringEquals: { 'aws:username': ['a', 'b'] }, Bool: { 'aws:SecureTransport': true } } },
    { Condition: { 'ForAnyValue:StringLikeIfExists': { 's3:RequestObjectTagKeys': 'x*' } } },
    { Condition: { NUMERICLESSTHAN: { 'S3:Max-Keys': 10 } } },
    { Condition: { Null: { 's3:x-amz-server-side-encryption': 'true' } } },
  ];
  for (const more of accepted) parsePolicy(text(allow(more), '2012-10-17'), { bucket: 'b' });
  parsePolicy(text(deny({ Principal: undefined, NotPrincipal: { AWS: 'id-1' } })), { bucket: 'b' });
  parsePolicy(JSON.stringify({ Version: '2008-10-17', Id: 'x', Statement: [allow(), deny()] }), { bucket: 'b' });
  parsePolicy(text({ Effect: 'Allow', Action: '*', Resource: '*' }), 'identity');
  parsePolicy(text({ Effect: 'Allow', Action: 's3:*', Resource: ['arn:aws:s3:::c', 'd/*'] }), 'identity');
});

test('what would not be evaluated is refused and named', () => {
  const cases: [Draft, RegExp][] = [
    [{ Extra: 1 }, /Unknown field "Extra"/],
    [{ Sid: 1 }, /Sid/],
    [{ Effect: undefined }, /Missing required field Effect/],
    [{ Effect: 'allow' }, /Invalid effect: "allow"/],
    [{ Action: undefined }, /Missing required field Action/],
    [{ NotAction: 's3:GetObject' }, /exclude each other/],
    [{ Action: [] }, /Action/],
    [{ Action: 's3:ReadObject' }, /invalid action: "s3:ReadObject"/],
    [{ Action: ['s3:GetObject', 'iam:*'] }, /invalid action: "iam:\*"/],
    [{ Action: 's3:Frobnicate*' }, /invalid action/],
    [{ Action: 'GetObject' }, /invalid action/],
    [{ Action: 7 }, /Action must be/],
    [{ Resource: undefined }, /Missing required field Resource/],
    [{ Resource: 'arn:aws:s3:::b2' }, /invalid resource: "arn:aws:s3:::b2"/],
    [{ Resource: ['b', 'b2/*'] }, /invalid resource: "b2\/\*"/],
    [{ Resource: 'B' }, /invalid resource/],
    [{ Resource: 'bb*' }, /invalid resource/],
    [{ Resource: '' }, /invalid resource/],
    [{ Resource: 'arn:aws:s3:::' }, /invalid resource/],
    [{ Resource: 'arn:aws:s3:eu-west-1::b' }, /invalid resource/],
    [{ Resource: 'arn:aws:sqs:::b' }, /invalid resource/],
    [{ Resource: '${aws:username}/*' }, /invalid resource/],
    [{ Resource: 'b/${aws:nonsense}' }, /Unknown policy variable: "\$\{aws:nonsense\}"/],
    [{ Resource: 'b/${aws:username' }, /not closed/],
    [{ Resource: `b/${'x'.repeat(3000)}` }, /longer than/],
    [{ Principal: undefined }, /Missing required field Principal/],
    [{ Principal: 'id-1' }, /Invalid principal in policy: "id-1"/],
    [{ Principal: {} }, /Invalid principal/],
    [{ Principal: { Service: 'logging.s3.amazonaws.com' } }, /type "Service" is not supported/],
    [{ Principal: { Federated: 'x' } }, /type "Federated"/],
    [{ Principal: { AWS: [] } }, /cannot be empty/],
    [{ Principal: { AWS: 'arn:aws:iam::1:role/x' } }, /Invalid principal in policy: "arn:aws:iam::1:role\/x"/],
    [{ Principal: { AWS: 'arn:aws:iam::1:user/*' } }, /Invalid principal/],
    [{ Principal: { AWS: 'arn:aws:iam::*:root' } }, /Invalid principal/],
    [{ Principal: { AWS: 'arn:aws:iam:::root' } }, /Invalid principal/],
    [{ Principal: { CanonicalUser: '*' } }, /Invalid principal/],
    [{ Principal: { DDN: 5 } }, /must be a string/],
    [{ Principal: undefined, NotPrincipal: { AWS: 'id-1' } }, /NotPrincipal is not supported/],
    [{ NotPrincipal: { AWS: 'id-1' } }, /exclude each other/],
    [{ Condition: [] }, /Condition must be an object/],
    [{ Condition: { StringIs: { 'aws:username': 'x' } } }, /invalid condition operator: "StringIs"/],
    [{ Condition: { StringEqualsifexist: { 'aws:username': 'x' } } }, /invalid condition operator/],
    [{ Condition: { NullIfExists: { 'aws:username': 'true' } } }, /invalid condition operator: "NullIfExists"/],
    [{ Condition: { 'ForSomeValues:StringLike': { 'aws:username': 'x' } } }, /invalid condition operator/],
    [{ Condition: { StringEquals: { 'aws:MultiFactorAuthPresent': 'x' } } }, /key: "aws:MultiFactorAuthPresent"/],
    [{ Condition: { StringEquals: { 's3:LocationConstraint': 'x' } } }, /key: "s3:LocationConstraint"/],
    [{ Condition: { StringEquals: { 's3:ExistingObjectTag/': 'x' } } }, /condition key/],
    [{ Condition: { StringEquals: { 'aws:username': [] } } }, /has no value/],
    [{ Condition: { StringEquals: { 'aws:username': { a: 1 } } } }, /no string/],
    [{ Condition: { StringEquals: { 'aws:username': null } } }, /no string/],
    [{ Condition: { StringEquals: 'x' } }, /must be an object of keys/],
    [{ Condition: { NumericEquals: { 's3:max-keys': 'ten' } } }, /not a valid number: "ten"/],
    [{ Condition: { NumericEquals: { 's3:max-keys': '${s3:max-keys}' } } }, /variables are for strings/],
    [{ Condition: { DateLessThan: { 'aws:CurrentTime': 'tomorrow' } } }, /not a valid date/],
    [{ Condition: { DateLessThan: { 'aws:CurrentTime': '2026-13-01T00:00:00Z' } } }, /not a valid date/],
    [{ Condition: { Bool: { 'aws:SecureTransport': 'yes' } } }, /not a valid boolean/],
    [{ Condition: { BinaryEquals: { 'aws:username': 'a' } } }, /not a valid base64/],
    [{ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/33' } } }, /CIDR range: "10.0.0.0\/33"/],
    [{ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0' } } }, /CIDR/],
    [{ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.*' } } }, /CIDR/],
    [{ Condition: { ArnLike: { 'aws:PrincipalArn': '*' } } }, /not a valid ARN/],
    [{ Condition: { Null: { 'aws:username': 'maybe' } } }, /Null takes true or false/],
  ];
  for (const [more, message] of cases) refused(text(allow(more), '2012-10-17'), message);
});

test('documents that are no policies', () => {
  refused('', /must be valid JSON/);
  refused(' {}', /first byte must be/);
  refused('[]', /first byte must be/);
  refused('{', /must be valid JSON/);
  refused('{}', /Missing required field Statement/);
  refused('{"Statement":[]}', /Missing required field Statement/);
  refused('{"Statement":[1]}', /Statement must be an object/);
  refused('{"Statement":null}', /Statement must be an object/);
  refused(text(allow(), '2012-10-18'), /version/);
  refused('{"Statement":{},"__proto__":{}}', /Unknown field "__proto__"/);
  refused(JSON.stringify({ Id: 7, Statement: allow() }), /Id/);
  refused(JSON.stringify({ Remark: '', Statement: allow() }), /Unknown field "Remark"/);
  refused(text([allow({ Sid: 's' }), deny({ Sid: 's' })]), /must be unique: "s"/);
});

test('a name that stands twice is refused: one of the two would be lost', () => {
  const once = text(allow({ Condition: { Bool: { 'aws:SecureTransport': 'true' } } }));
  refused(once.replace('"Effect"', '"Effect":"Deny","Effect"'), /"Effect" occurs twice/);
  refused(once.replace('{"Bool"', '{"Bool":{"aws:SourceIp":"x"},"B\\u006fol"'), /"Bool" occurs twice/);
  // The same name in another object, or as a value, is none.
  parsePolicy(text([allow({ Sid: 'Sid' }), allow({ Sid: 'Effect"' })]), { bucket: 'b' });
});

test('policies of accounts name no principals, and may be about any bucket', () => {
  refused(text(allow()), /should not specify a principal: Principal/, 'identity');
  refused(text({ ...deny(), Principal: undefined, NotPrincipal: '*' }), /principal: NotPrincipal/, 'identity');
  refused(text({ Effect: 'Allow', Action: '*', Resource: 'arn:aws:sqs:::x' }), /invalid resource/, 'identity');
  refused(
    text({ Effect: 'Allow', Action: 'iam:CreateRole', Resource: '*' }),
    /invalid action: "iam:CreateRole"/,
    'identity',
  );
  refused(text(allow({ Action: 'iam:GetUser' })), /invalid action/);
  refused(text(allow({ Resource: 'arn:aws:iam::g:user/x' })), /invalid resource/);
});

test('bombs are refused quickly', () => {
  const start = processorMs();
  refused(`{"Statement":"${'x'.repeat(1 << 20)}"}`, /larger than/);
  refused('{"a":'.repeat(4000), /valid JSON/);
  refused(`{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, /nested too deeply/);
  refused(`{"${'\\"'.repeat(9000)}`, /valid JSON/);
  refused(JSON.stringify({ Statement: Array.from({ length: 300 }, () => ({})) }), /more than 256 statements/);
  parsePolicy(text(allow({ Action: Array.from({ length: 1800 }, () => 's3:*?*') })), { bucket: 'b' });
  parsePolicy(text(allow({ Resource: `b/${'a*'.repeat(1000)}` })), { bucket: 'b' });
  assert.ok(processorMs() - start < 1000, `${processorMs() - start} ms`);
});

test.run();
