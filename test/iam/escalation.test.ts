/** Who may do some things in IAM, for some users, makes nothing else of them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { element } from '../http/stage.js';
import { allow, boss, type Caller, deny, document, done, iam, newUser, refused, registry, stage } from './ground.js';

const test = suite('iam/escalation');
test.after(() => stage.close());

const give = (UserName: string, ...statements: object[]) =>
  done(iam(boss, 'PutUserPolicy', { UserName, PolicyName: 'p', PolicyDocument: document(...statements) }));
const arn = (resource: string) => `arn:aws:iam::g:${resource}`;
const nameOf = async (who: Caller) => element(await done(iam(who, 'GetUser')), 'Arn');

test('nobody takes a name or a path for which he has no right', async () => {
  const deputy = await newUser('deputy');
  await done(iam(boss, 'CreateUser', { UserName: 'dev', Path: '/dev/' }));
  await give('deputy', allow('iam:*', arn('user/dev/*')), allow('iam:UpdateUser', arn('user/deputy')));
  const rename = (UserName: string, more: Record<string, string>) => iam(deputy, 'UpdateUser', { UserName, ...more });
  // His own name is what variables and bucket policies go by.
  const wishes: Record<string, string>[] = [
    { NewUserName: 'alice' },
    { NewPath: '/admin/' },
    { NewUserName: 'alice', NewPath: '/admin/' },
  ];
  for (const more of wishes) {
    const answer = await refused(rename('deputy', more), 'AccessDenied', 403);
    assert.match(element(answer, 'Message') ?? '', /on resource: arn:aws:iam::g:user\/(admin\/)?(alice|deputy)$/);
    await refused(rename('dev', { NewPath: '/', ...more }), 'AccessDenied', 403);
  }
  assert.is(await nameOf(deputy), arn('user/deputy'));
  assert.ok((await registry.accounts()).some((each) => each.displayName === 'dev' && each.path === '/dev/'));
  // Both are his to name.
  await done(rename('dev', { NewUserName: 'dev2' }));
  await done(rename('dev2', { NewPath: '/dev/deep/' }));
  await done(rename('deputy', { NewPath: '/dev/' }));
  assert.is(await nameOf(deputy), arn('user/dev/deputy'));
});

test('a name that is denied is not taken by renaming, not even by a manager', async () => {
  await newUser('plain');
  await give('boss', deny('iam:*', arn('user/reserved/*')), deny('iam:*', arn('group/reserved')));
  await refused(iam(boss, 'CreateUser', { UserName: 'x', Path: '/reserved/' }), 'AccessDenied', 403);
  await refused(iam(boss, 'UpdateUser', { UserName: 'plain', NewPath: '/reserved/' }), 'AccessDenied', 403);
  await done(iam(boss, 'CreateGroup', { GroupName: 'open' }));
  await refused(iam(boss, 'UpdateGroup', { GroupName: 'open', NewGroupName: 'reserved' }), 'AccessDenied', 403);
  await done(iam(boss, 'UpdateGroup', { GroupName: 'open', NewGroupName: 'other' }));
  await done(iam(boss, 'DeleteUserPolicy', { UserName: 'boss', PolicyName: 'p' }));
});

test('a group is renamed and moved only by who may name both', async () => {
  const deputy = await newUser('grouper');
  await done(iam(boss, 'CreateGroup', { GroupName: 'devs', Path: '/dev/' }));
  await give('grouper', allow('iam:UpdateGroup', arn('group/dev/*')));
  await refused(iam(deputy, 'UpdateGroup', { GroupName: 'devs', NewPath: '/' }), 'AccessDenied', 403);
  await done(iam(deputy, 'UpdateGroup', { GroupName: 'devs', NewGroupName: 'Devs' }));
  const group = await done(iam(boss, 'GetGroup', { GroupName: 'devs' }));
  assert.is(element(group, 'Arn'), arn('group/dev/Devs'));
});

test.run();
