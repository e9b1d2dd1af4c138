// timeout: 600
/** IAM with real programs on real files: aws, boto3, and two gateways of one root. */
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { command, createKey, type Gateway, type Key, startGateway } from '../support/gateway.js';
import { haveProgram, mustRun, run } from '../support/programs.js';
import { fails, sdk } from '../support/sdk.js';
import { tempDir } from '../support/temp.js';

const test = suite('clients/iam');
let gateway: Gateway;
let second: Gateway;
let stranger: Key;

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'warn'] });
  await command('tidegate', ['account', 'update', gateway.uuid, '--kind', 'manager'], gateway.root);
  stranger = await createKey(gateway.root, 'elsewhere');
  second = await startGateway({ root: gateway.root, key: gateway, flags: ['--log-level', 'warn'] });
});
test.after(async () => {
  for (const each of [gateway, second]) assert.is(await each?.stop(), 0);
});

const environment = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^AWS_/.test(name))),
  HOME: tempDir('home-'),
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_DEFAULT_REGION: 'us-east-1',
  TIDEGATE_ENDPOINT: gateway.endpoint,
  AWS_ACCESS_KEY_ID: gateway.accessKey,
  AWS_SECRET_ACCESS_KEY: gateway.secretKey,
  ...more,
});
const when = (...programs: string[]) => (programs.map(haveProgram).every(Boolean) ? test : test.skip);

when('aws')('examples/iam.sh', async () => {
  const { stdout } = await mustRun(join(process.cwd(), 'examples/iam.sh'), [], {
    env: environment({ TIDEGATE_USER: 'ex', TIDEGATE_BUCKET: 'ex-iam' }),
    seconds: 200,
  });
  for (const text of [
    'arn:aws:iam::test:root',
    'arn:aws:iam::test:user/ex',
    'arn:aws:iam::test:group/ex-lab',
    'arn:aws:iam::test:policy/ex-no-list',
    'results\n',
    'DeleteConflict, as it should be',
    'MalformedPolicyDocument, as it should be',
  ]) {
    assert.match(stdout, text);
  }
  const left = await command('tidegate', ['policy', 'list'], gateway.root);
  assert.not.match(left, 'ex-no-list');
  assert.not.match(await command('tidegate', ['account', 'list'], gateway.root), / ex /);
});

/** All that boto3 models of the replies, and its own paginators and exceptions. */
const tour = `
import json, sys, datetime, os, boto3
from concurrent.futures import ThreadPoolExecutor
one, two = [boto3.client('iam', endpoint_url=url, region_name='us-east-1') for url in sys.argv[1:3]]
deny = json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Deny', 'Action': 's3:Delete*', 'Resource': '*'}]})
for n in range(5):
    user = one.create_user(UserName='tour-%d' % n, Path='/tour/')['User']
    assert user['CreateDate'] > datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
pages = list(two.get_paginator('list_users').paginate(PathPrefix='/tour/', PaginationConfig={'PageSize': 2}))
assert [len(page['Users']) for page in pages] == [2, 2, 1], pages
arns = [one.create_policy(PolicyName='tour-%d' % n, PolicyDocument=deny, Description='a & b <c>')['Policy']['Arn'] for n in range(6)]
assert two.get_policy(PolicyArn=arns[0])['Policy']['Description'] == 'a & b <c>'
version = two.get_policy_version(PolicyArn=arns[0], VersionId='v1')['PolicyVersion']
assert version['Document'] == json.loads(deny) and version['IsDefaultVersion']
assert [v['VersionId'] for v in one.list_policy_versions(PolicyArn=arns[0])['Versions']] == ['v1']
# Two gateways attach at once: nothing is lost.
with ThreadPoolExecutor(6) as pool:
    list(pool.map(lambda n: [one, two][n % 2].attach_user_policy(UserName='tour-0', PolicyArn=arns[n]), range(6)))
    list(pool.map(lambda n: [one, two][n % 2].create_group(GroupName='tour-%d' % n), range(6)))
    list(pool.map(lambda n: [one, two][n % 2].add_user_to_group(GroupName='tour-%d' % n, UserName='tour-0'), range(6)))
    list(pool.map(lambda n: [one, two][n % 2].put_user_policy(UserName='tour-0', PolicyName='p%d' % n, PolicyDocument=deny), range(6)))
assert sorted(p['PolicyArn'] for p in one.list_attached_user_policies(UserName='tour-0')['AttachedPolicies']) == sorted(arns)
assert len(two.list_groups_for_user(UserName='tour-0')['Groups']) == 6
assert two.list_user_policies(UserName='tour-0')['PolicyNames'] == ['p%d' % n for n in range(6)]
assert two.get_user_policy(UserName='tour-0', PolicyName='p3')['PolicyDocument'] == json.loads(deny)
assert [u['UserName'] for u in one.get_group(GroupName='tour-2')['Users']] == ['tour-0']
held = two.list_entities_for_policy(PolicyArn=arns[1])
assert [u['UserName'] for u in held['PolicyUsers']] == ['tour-0'] and held['PolicyGroups'] == []
assert one.get_policy(PolicyArn=arns[1])['Policy']['AttachmentCount'] == 1
local = [p['Arn'] for page in one.get_paginator('list_policies').paginate(Scope='Local', PaginationConfig={'PageSize': 4}) for p in page['Policies']]
assert sorted(local) == sorted(arns), local
for error, call in [
    (one.exceptions.EntityAlreadyExistsException, lambda: one.create_user(UserName='TOUR-1')),
    (one.exceptions.NoSuchEntityException, lambda: one.get_user(UserName='nobody')),
    (one.exceptions.MalformedPolicyDocumentException, lambda: one.create_policy(PolicyName='x', PolicyDocument='{}')),
    (one.exceptions.DeleteConflictException, lambda: one.delete_policy(PolicyArn=arns[0])),
    (one.exceptions.LimitExceededException, lambda: one.put_user_policy(UserName='tour-1', PolicyName='x', PolicyDocument=deny.replace('*"]', '*", "' + 'x' * 2000 + '"]').replace('"*"', '["' + 'x' * 2000 + '"]'))),
]:
    try:
        call()
    except error:
        continue
    sys.exit('no %s' % error.__name__)
key = one.create_access_key(UserName='tour-1')['AccessKey']
assert two.list_access_keys(UserName='tour-1')['AccessKeyMetadata'][0]['Status'] == 'Active'
print(json.dumps(key, default=str))
`;

test('boto3: every shape, its paginators and exceptions; two gateways change one user at once', async () => {
  if (!(haveProgram('python3') && (await run('python3', ['-c', 'import boto3'])).code === 0)) {
    if (process.env.CI === 'true') throw new Error('boto3 is missing, and CI must have it');
    return;
  }
  const { stdout } = await mustRun('python3', ['-c', tour, gateway.endpoint, second.endpoint], { env: environment() });
  const made = JSON.parse(stdout);
  const key: Key = { accessKey: made.AccessKeyId, secretKey: made.SecretAccessKey, uuid: '' };

  // What one gateway is told is in force on the other at the next request.
  const owner = sdk(gateway);
  const client = sdk(second, { key });
  const other = sdk(gateway, { key: stranger });
  try {
    await owner.send(new s3.CreateBucketCommand({ Bucket: 'iam' }));
    await owner.send(new s3.PutObjectCommand({ Bucket: 'iam', Key: 'k', Body: 'x' }));
    const read = () => client.send(new s3.GetObjectCommand({ Bucket: 'iam', Key: 'k' }));
    const policy = 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess';
    for (let round = 0; round < 5; round++) {
      await fails(read(), 'AccessDenied', 403);
      await command('tidegate', ['policy', 'attach', policy, '--account', 'tour-1'], gateway.root);
      assert.is(await (await read()).Body!.transformToString(), 'x');
      await command('tidegate', ['policy', 'detach', policy, '--account', 'tour-1'], gateway.root);
    }
    await fails(other.send(new s3.GetObjectCommand({ Bucket: 'iam', Key: 'k' })), 'AccessDenied', 403);
  } finally {
    for (const each of [owner, client, other]) each.destroy();
  }
});

test.run();
