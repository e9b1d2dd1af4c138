/** Account policies in force in S3, on the request after the one that changed them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { element, elements } from '../http/stage.js';
import {
  allow,
  boss,
  type Caller,
  deny,
  document,
  done,
  iam,
  newUser,
  refused,
  registry,
  send,
  stage,
  una,
} from './ground.js';

const test = suite('iam/policies');
test.after(() => stage.close());

const put = (as: Caller, url: string, body = 'x', headers = {}) => send(as, url, { method: 'PUT', body, headers });
const status = async (work: ReturnType<typeof send>) => (await work).status;

test('a Deny takes away what the owner may, an Allow is all that is left', async () => {
  await done(put(una, '/unas', ''));
  await done(put(una, '/unas/k'));
  const policy = (name: string, ...statements: object[]) =>
    done(iam(boss, 'PutUserPolicy', { UserName: 'una', PolicyName: name, PolicyDocument: document(...statements) }));
  await policy('no-delete', deny('s3:Delete*'));
  assert.is(await status(send(una, '/unas/k', { method: 'DELETE' })), 403);
  assert.is(await status(send(una, '/unas/k')), 200);
  await policy('only-list', allow('s3:List*'));
  assert.equal([await status(send(una, '/unas')), await status(send(una, '/unas/k'))], [200, 403]);
  assert.is(await status(put(una, '/another', '')), 403);
  for (const PolicyName of ['no-delete', 'only-list'])
    await done(iam(boss, 'DeleteUserPolicy', { UserName: 'una', PolicyName }));
  assert.is(await status(send(una, '/unas/k')), 200);
});

test('conditions are asked of the request', async () => {
  const guarded = { ...deny('s3:GetObject'), Condition: { StringEquals: { 's3:ExistingObjectTag/class': 'secret' } } };
  const listing = { ...deny('s3:ListBucket'), Condition: { StringLike: { 's3:prefix': 'private/*' } } };
  await done(
    iam(boss, 'PutUserPolicy', { UserName: 'una', PolicyName: 'p', PolicyDocument: document(guarded, listing) }),
  );
  await done(put(una, '/unas/tagged', 'x', { 'x-amz-tagging': 'class=secret' }));
  assert.equal([await status(send(una, '/unas/tagged')), await status(send(una, '/unas/k'))], [403, 200]);
  assert.equal(
    [await status(send(una, '/unas?prefix=private/x')), await status(send(una, '/unas?prefix=p'))],
    [403, 200],
  );
  await done(iam(boss, 'DeleteUserPolicy', { UserName: 'una', PolicyName: 'p' }));
});

test('a user that IAM made may do nothing, until a policy of its own or of a group says what', async () => {
  const nils = await newUser('nils');
  await done(put(boss, '/bosses', ''));
  await done(put(boss, '/bosses/k'));
  const sees = async () => Promise.all(['/', '/bosses', '/bosses/k'].map((url) => status(send(nils, url))));
  assert.equal(await sees(), [403, 403, 403]);
  await done(iam(boss, 'CreateGroup', { GroupName: 'readers', Path: '/team/' }));
  await done(iam(boss, 'AddUserToGroup', { GroupName: 'READERS', UserName: 'nils' }));
  assert.equal(await sees(), [403, 403, 403]);
  const attached = { GroupName: 'readers', PolicyArn: 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess' };
  await done(iam(boss, 'AttachGroupPolicy', attached));
  assert.equal(await sees(), [200, 200, 200], 'the bucket of the manager is opened by the policies that he attaches');
  assert.is(await status(put(nils, '/bosses/new')), 403);
  await done(put(una, '/unas/k'));
  assert.is(await status(send(nils, '/unas/k')), 403, 'but no bucket of others');
  const inline = {
    GroupName: 'readers',
    PolicyName: 'not-k',
    PolicyDocument: document(deny('s3:GetObject', 'bosses/k')),
  };
  await done(iam(boss, 'PutGroupPolicy', inline));
  assert.equal(await sees(), [200, 200, 403]);
  await done(iam(boss, 'UpdateGroup', { GroupName: 'readers', NewGroupName: 'lookers' }));
  assert.equal(await sees(), [200, 200, 403], 'a group is the same under another name');
  await done(iam(boss, 'RemoveUserFromGroup', { GroupName: 'lookers', UserName: 'nils' }));
  assert.equal(await sees(), [403, 403, 403]);
});

test('what a long document changes is permitted by the policies as they are when it is complete', async () => {
  const olga = await newUser('olga');
  await done(
    iam(boss, 'PutUserPolicy', { UserName: 'olga', PolicyName: 'p', PolicyDocument: document(allow('s3:*')) }),
  );
  await done(put(olga, '/olgas', ''));
  const body = '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>';
  // The memory store answers at once, so the change is made between the look at the bucket and the end of the body.
  const before = stage.storage.bucket;
  let changed = false;
  stage.storage.bucket = async (name) => {
    const found = await before.call(stage.storage, name);
    if (!changed && name === 'olgas') {
      changed = true;
      await registry.iam.updateUser((await registry.account(olga.uuid))!, (account) => ({
        ...account,
        inline: [{ name: 'p', document: document(deny('s3:PutBucketTagging')) }],
      }));
    }
    return found;
  };
  const answer = await put(olga, '/olgas?tagging', body);
  stage.storage.bucket = before;
  assert.is(element(answer, 'Code'), 'AccessDenied');
});

test('pages, prefixes and names', async () => {
  const names = ['Zoe', 'adam', 'Berta', 'carl'];
  for (const [at, UserName] of names.entries())
    await done(iam(boss, 'CreateUser', { UserName, Path: `/team/${at % 2}/` }));
  const pages: string[] = [];
  for (let Marker: string | undefined, more = true; more; ) {
    const page = await done(
      iam(boss, 'ListUsers', { PathPrefix: '/team/', MaxItems: '1', ...(Marker ? { Marker } : {}) }),
    );
    pages.push(...elements(page, 'UserName'));
    more = element(page, 'IsTruncated') === 'true';
    Marker = element(page, 'Marker');
    // What is deleted between two pages makes none of the others disappear.
    if (pages.at(-1) === 'adam') await done(iam(boss, 'DeleteUser', { UserName: 'ADAM' }));
  }
  assert.equal(pages, ['adam', 'Berta', 'carl', 'Zoe']);
  assert.equal(elements(await done(iam(boss, 'ListUsers', { PathPrefix: '/team/1/' })), 'UserName'), ['carl']);
  assert.is(element(await done(iam(boss, 'GetUser', { UserName: 'ZOE' })), 'Arn'), 'arn:aws:iam::g:user/team/0/Zoe');
  await refused(iam(boss, 'CreateUser', { UserName: 'zoe' }), 'EntityAlreadyExists', 409);
  await done(iam(boss, 'UpdateUser', { UserName: 'zoe', NewUserName: 'ZOE', NewPath: '/' }));
  assert.is(element(await done(iam(boss, 'GetUser', { UserName: 'zoe' })), 'Arn'), 'arn:aws:iam::g:user/ZOE');
  await refused(iam(boss, 'CreateUser', { UserName: 'zoe' }), 'EntityAlreadyExists', 409);
});

test('a user with keys, policies or buckets is not deleted; a policy or group in use is not', async () => {
  const rita = await newUser('rita');
  const gone = () => iam(boss, 'DeleteUser', { UserName: 'rita' });
  await done(iam(boss, 'CreatePolicy', { PolicyName: 'All', PolicyDocument: document(allow('s3:*')), Path: '/p/' }));
  const PolicyArn = 'arn:aws:iam::g:policy/p/All';
  await done(iam(boss, 'AttachUserPolicy', { UserName: 'rita', PolicyArn }));
  await done(put(rita, '/ritas', ''));
  await refused(gone(), 'DeleteConflict', 409);
  await refused(iam(boss, 'DeletePolicy', { PolicyArn }), 'DeleteConflict', 409);
  await done(put(rita, '/ritas/k'));
  await done(iam(boss, 'CreateGroup', { GroupName: 'ritas' }));
  await done(iam(boss, 'AddUserToGroup', { GroupName: 'ritas', UserName: 'rita' }));
  await refused(iam(boss, 'DeleteGroup', { GroupName: 'ritas' }), 'DeleteConflict', 409);
  for (const url of ['/ritas/k', '/ritas']) assert.is(await status(send(rita, url, { method: 'DELETE' })), 204);
  await done(iam(boss, 'DetachUserPolicy', { UserName: 'rita', PolicyArn }));
  await refused(gone(), 'DeleteConflict', 409);
  assert.is((await registry.account(rita.uuid))?.enabled, true, 'a deletion that fails changes nothing');
  await done(iam(boss, 'DeleteAccessKey', { UserName: 'rita', AccessKeyId: rita.key.accessKey }));
  await done(gone());
  await done(iam(boss, 'DeletePolicy', { PolicyArn }));
  await done(iam(boss, 'DeleteGroup', { GroupName: 'ritas' }));
  await refused(iam(boss, 'DeleteUser', { UserName: 'boss' }), 'DeleteConflict', 409);
});

test('keys: at most maxKeys, dead when inactive', async () => {
  await newUser('kim');
  const create = () => iam(boss, 'CreateAccessKey', { UserName: 'kim' });
  await done(create());
  const third = await done(create());
  await refused(create(), 'LimitExceeded', 409);
  const kim = { key: { accessKey: element(third, 'AccessKeyId')! }, secret: element(third, 'SecretAccessKey')! };
  assert.is(element(await done(iam(kim, 'GetUser')), 'UserName'), 'kim');
  const update = { UserName: 'kim', AccessKeyId: kim.key.accessKey, Status: 'Inactive' };
  await done(iam(boss, 'UpdateAccessKey', update));
  await refused(iam(kim, 'GetUser'), 'InvalidClientTokenId', 403);
  assert.equal(elements(await done(iam(boss, 'ListAccessKeys', { UserName: 'kim' })), 'Status'), [
    'Active',
    'Active',
    'Inactive',
  ]);
});

test.run();
