/** What must not be possible through IAM, and what is no request to it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { element } from '../http/stage.js';
import {
  allow,
  boss,
  chief,
  deny,
  document,
  done,
  form,
  hans,
  iam,
  newUser,
  refused,
  registry,
  send,
  stage,
  una,
} from './ground.js';

const test = suite('iam/hostile');
test.after(() => stage.close());

const type = { 'content-type': 'application/x-www-form-urlencoded' };
const post = (body: string, more: object = {}) =>
  send(boss, '/', { method: 'POST', service: 'iam', headers: type, body, ...more });

test('only what IAM’s own clients sign is a request to IAM', async () => {
  const body = form({ Action: 'ListUsers' });
  await done(post(body));
  await refused(post(body, { service: 's3' }), 'IncompleteSignature', 400);
  await refused(post(body, { payload: 'UNSIGNED-PAYLOAD' }), 'SignatureDoesNotMatch', 403);
  await refused(stage.send('/', { method: 'POST', headers: type, body, as: null }), 'MissingAuthenticationToken', 403);
  const v2 = { ...type, authorization: `AWS ${boss.key.accessKey}:c2ln` };
  await refused(stage.send('/', { method: 'POST', headers: v2, body, as: null }), 'MissingAuthenticationToken', 403);
  await refused(
    send({ key: { accessKey: 'AKIANOBODYNOBODYNOBO' }, secret: 'x' }, '/', {
      method: 'POST',
      service: 'iam',
      headers: type,
      body,
    }),
    'InvalidClientTokenId',
    403,
  );
  await refused(
    send({ ...boss, secret: 'guess' }, '/', { method: 'POST', service: 'iam', headers: type, body }),
    'SignatureDoesNotMatch',
    403,
  );
  // The signature of one form does not carry another one.
  const other = form({ Action: 'CreateUser', UserName: 'mallory' });
  await refused(post(other, { payload: 'a'.repeat(64) }), 'SignatureDoesNotMatch', 403);
  assert.not.ok((await registry.accounts()).some(({ displayName }) => displayName === 'mallory'));
  // The secret of IAM's scope opens no object either.
  assert.is(element(await send(boss, '/', { service: 'iam' }), 'Code'), 'AuthorizationHeaderMalformed');
});

test('a GET carries the form in its query', async () => {
  const answer = await done(send(boss, `/?${form({ Action: 'GetUser' })}`, { service: 'iam' }));
  assert.is(element(answer, 'Arn'), 'arn:aws:iam::g:root');
  assert.is(answer.headers['content-type'], 'text/xml');
});

test('garbage', async () => {
  for (const Action of ['', 'getUser', 'CreateRole', '__proto__', 'constructor', 'x'.repeat(5000), '<&>']) {
    const answer = await refused(post(form({ Action })), 'InvalidAction', 400);
    assert.ok(answer.body.length < 1000);
  }
  await refused(post('Version=2010-05-08'), 'InvalidAction', 400);
  await refused(post(form({ Action: 'GetUser', Version: '2011-06-15' })), 'InvalidAction', 400);
  await refused(post('%%%=\0&&&'), 'InvalidAction', 400);
  await refused(
    post('{"Action":"GetUser"}', { headers: { 'content-type': 'application/json' } }),
    'ValidationError',
    400,
  );
  await refused(post('Action=GetUser&Action=DeleteUser'), 'ValidationError', 400);
  for (const [Action, params] of [
    ['CreateUser', { UserName: 'x', 'Tags.member.1.Key': 'k' }],
    ['CreateUser', { UserName: 'x', PermissionsBoundary: 'arn:aws:iam::aws:policy/AdministratorAccess' }],
    ['CreateUser', {}],
    ['GetUser', { UserName: '' }],
    ['ListUsers', { MaxItems: '0' }],
    ['ListUsers', { MaxItems: '1e2' }],
    ['UpdateAccessKey', { AccessKeyId: boss.key.accessKey, Status: 'active' }],
    ['GetUser', { UserName: '../boss' }],
  ] as const) {
    await refused(iam(boss, Action, params), 'ValidationError', 400);
  }
  for (const UserName of ['a b', 'a/b', 'naïve', `${'x'.repeat(65)}`]) {
    const answer = await iam(boss, 'CreateUser', { UserName });
    assert.match(element(answer, 'Code') ?? '', /^(InvalidInput|ValidationError)$/, UserName);
  }
  for (const Path of ['x', '/x', 'x/', '//', '/a//b/', '/a*/', '/a:b/']) {
    await refused(iam(boss, 'CreateUser', { UserName: 'x', Path }), 'InvalidInput', 400);
  }
  assert.not.ok((await registry.accounts()).some(({ displayName }) => displayName === 'x'));
});

test('a body that is too large is not read to its end', async () => {
  const large = `Action=GetUser&x=${'y'.repeat(200_000)}`;
  await refused(post(large), 'RequestEntityTooLarge', 413);
});

test('users may ask about themselves and nothing else', async () => {
  assert.is(element(await done(iam(una, 'GetUser')), 'UserName'), 'una');
  await done(iam(una, 'ListAccessKeys', { UserName: 'UNA' }));
  for (const [action, params] of [
    ['GetUser', { UserName: 'boss' }],
    ['GetUser', { UserName: 'nobody-at-all' }],
    ['ListUsers', {}],
    ['CreateAccessKey', {}],
    ['CreateUser', { UserName: 'x' }],
    ['PutUserPolicy', { UserName: 'una', PolicyName: 'p', PolicyDocument: document(allow('*')) }],
    ['AttachUserPolicy', { UserName: 'una', PolicyArn: 'arn:aws:iam::aws:policy/AdministratorAccess' }],
    ['ListPolicies', {}],
    ['GetAccountSummary', {}],
  ] as const) {
    const answer = await refused(iam(una, action, params), 'AccessDenied', 403);
    assert.match(
      element(answer, 'Message') ?? '',
      /^User: arn:aws:iam::g:user\/una is not authorized to perform: iam:/,
    );
  }
});

test('nothing of another group is found, under whatever name', async () => {
  const { uuid } = hans.account;
  await done(iam(chief, 'CreatePolicy', { PolicyName: 'theirs', PolicyDocument: document(allow('s3:*')) }));
  await done(iam(chief, 'CreateGroup', { GroupName: 'theirs' }));
  const PolicyArn = 'arn:aws:iam::h:policy/theirs';
  for (const UserName of ['hans', 'HANS', uuid, 'chief', chief.account.uuid]) {
    for (const [action, more] of [
      ['GetUser', {}],
      ['CreateAccessKey', {}],
      ['DeleteUser', {}],
      ['UpdateUser', { NewUserName: 'mine' }],
      ['PutUserPolicy', { PolicyName: 'p', PolicyDocument: document(deny('*')) }],
      ['AttachUserPolicy', { PolicyArn: 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess' }],
    ] as const) {
      await refused(iam(boss, action, { UserName, ...more }), 'NoSuchEntity', 404);
    }
  }
  for (const action of ['GetPolicy', 'DeletePolicy'])
    await refused(iam(boss, action, { PolicyArn }), 'NoSuchEntity', 404);
  await refused(iam(boss, 'AttachUserPolicy', { UserName: 'una', PolicyArn }), 'NoSuchEntity', 404);
  await refused(iam(boss, 'AddUserToGroup', { UserName: 'una', GroupName: 'theirs' }), 'NoSuchEntity', 404);
  await done(iam(boss, 'CreateGroup', { GroupName: 'Theirs' }));
  await refused(iam(boss, 'AddUserToGroup', { UserName: 'hans', GroupName: 'theirs' }), 'NoSuchEntity', 404);
  // A key of another, by its id: neither through one's own name nor through the other's.
  const named: Record<string, string>[] = [{}, { UserName: 'una' }, { UserName: 'hans' }];
  for (const params of named) {
    const AccessKeyId = hans.key.accessKey;
    await refused(iam(boss, 'DeleteAccessKey', { AccessKeyId, ...params }), 'NoSuchEntity', 404);
    await refused(iam(boss, 'UpdateAccessKey', { AccessKeyId, Status: 'Inactive', ...params }), 'NoSuchEntity', 404);
  }
  assert.is((await registry.find(hans.key.accessKey))?.key.enabled, true);
  const theirs = await registry.account(uuid);
  assert.equal(theirs, hans.account, 'nothing of it has changed');
  assert.not.match((await done(iam(boss, 'ListUsers'))).body, /hans|chief/);
  // The name of a user is one for the whole service, whatever its case.
  await refused(iam(boss, 'CreateUser', { UserName: 'Hans' }), 'EntityAlreadyExists', 409);
});

test('whoever may do everything in IAM does not become a manager by it', async () => {
  const deputy = await newUser('deputy');
  await done(iam(boss, 'AttachUserPolicy', { UserName: 'deputy', PolicyArn: 'arn:aws:iam::aws:policy/IAMFullAccess' }));
  await done(iam(boss, 'CreateGroup', { GroupName: 'jail' }));
  await newUser('made-by-deputy', deputy);
  for (const [action, params] of [
    ['CreateAccessKey', { UserName: 'boss' }],
    ['DeleteUser', { UserName: 'boss' }],
    ['DeleteAccessKey', { UserName: 'boss', AccessKeyId: boss.key.accessKey }],
    ['PutUserPolicy', { UserName: boss.account.uuid, PolicyName: 'p', PolicyDocument: document(deny('*')) }],
    ['AddUserToGroup', { UserName: 'boss', GroupName: 'jail' }],
  ] as const) {
    await refused(iam(deputy, action, params), 'AccessDenied', 403);
  }
  // S3 is another matter: nobody gave it that.
  assert.is(element(await send(deputy, '/'), 'Code'), 'AccessDenied');
});

test('a policy that would not be evaluated as it says is refused, and says why', async () => {
  const put = (PolicyDocument: string) =>
    iam(boss, 'PutUserPolicy', { UserName: 'una', PolicyName: 'p', PolicyDocument });
  for (const [text, why] of [
    ['not json', /JSON/],
    [document({ ...allow('s3:*'), Principal: '*' }), /principal/],
    [
      document({ ...allow('s3:*'), Condition: { StringEquals: { 'aws:MultiFactorAuthAge': '1' } } }),
      /MultiFactorAuthAge/,
    ],
    [document({ ...allow('s3:*'), Condition: { Sometimes: { 'aws:username': 'x' } } }), /Sometimes/],
    [document(allow('ec2:RunInstances')), /ec2:RunInstances/],
    [document(allow('s3:*', 'arn:aws:sqs:::q')), /arn:aws:sqs:::q/],
    [document({ Effect: 'Permit', Action: 's3:*', Resource: '*' }), /Permit/],
  ] as const) {
    const answer = await refused(put(text), 'MalformedPolicyDocument', 400);
    assert.match((element(answer, 'Message') ?? '').replaceAll('&quot;', '"'), why);
    await refused(iam(boss, 'CreatePolicy', { PolicyName: 'p', PolicyDocument: text }), 'MalformedPolicyDocument', 400);
  }
  const long = document({ ...allow('s3:*'), Sid: 'x'.repeat(2000) });
  await refused(put(long), 'LimitExceeded', 409);
  assert.is((await registry.account(una.account.uuid))?.inline, undefined);
});

test.run();
