// timeout: 180
/** Who the gateway is to the kernel: its capabilities, the groups of an account, masks, what may be listed. Needs root. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { serve } from '../support/commands.js';
import { isRoot, type Person, startTown, type Town } from '../support/people.js';
import { fails } from '../support/sdk.js';
import { tempDir } from '../support/temp.js';

const test = suite('identity');
const asRoot = isRoot ? test : test.skip;
let town: Town;
let anna: Person;
let bert: Person;

test.before(async () => {
  if (!isRoot) return;
  town = await startTown(['--umask', '0027']);
  anna = await town.person('anna', 60101, 60101);
  bert = await town.person('bert', 60102, 60102);
});
test.after(async () => {
  if (isRoot) assert.is(await town?.close(), 0);
});

/** Each set of capabilities, of every thread of a process. */
function capabilities(pid: number, set: string): Set<string> {
  const found = new Set<string>();
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
    found.add(new RegExp(`^${set}:\\s*(\\w+)`, 'm').exec(status)![1]!);
  }
  return found;
}

asRoot('no thread of the gateway has more capabilities than it needs', async () => {
  const { gateway } = town;
  await anna.client.send(new s3.ListBucketsCommand());
  // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, SETGID 6, SETUID 7, NET_BIND_SERVICE 10, SYS_NICE 23; SYS_RESOURCE would be 24.
  const most = 0b1000_0000_0000_0100_1100_1011n;
  for (const set of ['CapPrm', 'CapBnd', 'CapEff', 'CapInh', 'CapAmb']) {
    for (const value of capabilities(gateway.pid, set)) assert.is(BigInt(`0x${value}`) & ~most, 0n, `${set} ${value}`);
  }
  assert.ok(capabilities(gateway.pid, 'CapPrm').has(most.toString(16).padStart(16, '0')));
  assert.match(gateway.output(), /"as root: .* kept CAP_CHOWN, .* dropped all other capabilities"/);
});

test('without root the start says whose files they will be', async () => {
  const dir = tempDir();
  const who = isRoot ? { uid: 60101, gid: 60101 } : { uid: process.getuid!(), gid: process.getgid!() };
  chownSync(dir, who.uid, who.gid);
  const alone = await serve(['--root', dir], { ...who, cwd: dir });
  alone.child.kill('SIGTERM');
  await alone.ended;
  assert.match(
    alone.stderr(),
    new RegExp(`"not root: single identity, all files are worked on as uid ${who.uid}, gid`),
  );
});

asRoot('the umask takes permissions from new files and directories, not from the way to a bucket', async () => {
  const path = await town.bucket('masked', anna, 'owner', []);
  await anna.client.send(new s3.PutObjectCommand({ Bucket: 'masked', Key: 'd/f', Body: 'x' }));
  assert.is(statSync(join(path, 'd/f')).mode & 0o7777, 0o640);
  assert.is(statSync(join(path, 'd')).mode & 0o7777, 0o750);
  assert.is(statSync(join(path, '..')).mode & 0o7777, 0o755);
});

asRoot('groups given to an account hold for its next request', async () => {
  const path = await town.bucket('groups', anna, 'requester', [bert]);
  chmodSync(path, 0o755);
  writeFileSync(join(path, 'f'), 'for the group');
  chownSync(join(path, 'f'), anna.uid, 60777);
  chmodSync(join(path, 'f'), 0o640);
  const get = () => bert.client.send(new s3.GetObjectCommand({ Bucket: 'groups', Key: 'f' }));
  for (let round = 0; round < 3; round++) {
    await fails(get(), 'AccessDenied', 403);
    await town.tidegate('account', 'update', 'bert', '--groups', '60102,60777');
    assert.is(await (await get()).Body!.transformToString(), 'for the group');
    await town.tidegate('account', 'update', 'bert', '--groups', '60102');
  }
});

asRoot('a listing leaves out directories that the one who asks may not read; but not where it begins', async () => {
  const path = await town.bucket('lists', anna, 'requester', [bert]);
  chmodSync(path, 0o755);
  for (const dir of ['open', 'shut', 'shut/in', 'pass']) {
    mkdirSync(join(path, dir));
    writeFileSync(join(path, dir, 'f'), 'x');
  }
  for (const entry of ['open', 'open/f', 'shut', 'shut/f', 'shut/in', 'shut/in/f', 'pass', 'pass/f'])
    chownSync(join(path, entry), anna.uid, anna.gid);
  chmodSync(join(path, 'shut'), 0o700);
  chmodSync(join(path, 'pass'), 0o711);
  const list = async (who: Person, more: object = {}) => {
    const page = await who.client.send(new s3.ListObjectsV2Command({ Bucket: 'lists', ...more }));
    return [...(page.Contents ?? []).map(({ Key }) => Key), ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix)];
  };
  assert.equal(await list(anna), ['open/f', 'pass/f', 'shut/f', 'shut/in/f']);
  assert.equal(await list(bert), ['open/f']);
  assert.equal(await list(bert, { Delimiter: '/' }), ['open/']);
  assert.equal(await list(bert, { Prefix: 'open/' }), ['open/f']);
  assert.equal(await list(bert, { Prefix: 'absent/' }), []);
  for (const Prefix of ['shut/', 'shut/in/', 'shut/in/f', 'pass/']) {
    await fails(list(bert, { Prefix }), 'AccessDenied', 403);
    await fails(list(bert, { Prefix, Delimiter: '/' }), 'AccessDenied', 403);
  }
  // What cannot be listed can be read where its name is known.
  const known = await bert.client.send(new s3.GetObjectCommand({ Bucket: 'lists', Key: 'pass/f' }));
  assert.is(await known.Body!.transformToString(), 'x');
  chmodSync(path, 0o711);
  await fails(list(bert), 'AccessDenied', 403);
  assert.ok(existsSync(join(path, 'shut/f')));
});

test.run();
