// timeout: 240
/** `s3dsbucket sync` and `tidegate sync`: with a gateway, without one, interrupted, killed, and on a terminal. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createProgress, progressBar, progressText } from '../../gateway/cli/sync-progress.js';
import { noCounts } from '../../sync/runs.js';
import type { SyncRun, SyncState } from '../../sync/types.js';
import { runHere } from '../support/cli.js';
import { type Ran, runCommand } from '../support/commands.js';
import { createKey, type Key, startGateway } from '../support/gateway.js';
import { haveProgram, mustRun } from '../support/programs.js';
import { sdk } from '../support/sdk.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { md5 } from '../support/two-doors.js';

const test = suite('sync command');
const bucket = 'results';
/** Files of jobs are taken up at once, so that tests need not wait. */
const env = { TIDEGATE_SYNC_QUIET: '0s' };
Object.assign(process.env, env);

let root = '';
let key: Key;
let path = '';
test.before.each(async () => {
  root = tempDir();
  key = await createKey(root);
  await runHere(['bucket', 'create', '-k', key.accessKey, '-b', bucket, '--root', root]);
  path = join(root, key.uuid, bucket);
});

const s3dsbucket = (...args: string[]) => runCommand('s3dsbucket', [...args, '--root', root], { env });
const tidegate = (...args: string[]) => runHere([...args, '--root', root]);
const write = (name: string, content: string) => {
  mkdirSync(dirname(join(path, name)), { recursive: true });
  writeFileSync(join(path, name), content);
};
const state = (): SyncState => JSON.parse(readFileSync(join(root, '.tidegate/syncs', `${bucket}.json`), 'utf8'));
const json = (ran: Ran): SyncRun => {
  assert.is(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout);
};
const countsOf = ({ counts }: SyncRun) => [
  counts.added,
  counts.updated,
  counts.deleted,
  counts.renamed,
  counts.unchanged,
];
const etagOf = async (gateway: Parameters<typeof sdk>[0], name: string) => {
  const client = sdk(gateway);
  const { HeadObjectCommand } = await import('@aws-sdk/client-s3');
  const { ETag } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: name }));
  client.destroy();
  return ETag!.replaceAll('"', '');
};

test('without a gateway the command does it: new, changed, renamed and vanished files', async () => {
  write('a', 'one');
  write('run1/b', 'two');
  const ran = await s3dsbucket('sync', `--key=${key.accessKey}`, `--bucket=${bucket}`);
  assert.is(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /^sync of results \(WRITE,UPDATE,DELETE\): done\n/);
  assert.match(
    ran.stdout,
    /\| added \| updated \| deleted \| renamed \| unchanged \| unsettled \| errors \| hashed \| took/,
  );
  assert.match(ran.stdout, /\| 2 +\| 0 +\| 0 +\| 0 +\| 0 +\| 0 +\| 0 +\| 6 B +\|/);
  assert.match(ran.stderr, /^sync of results: /);
  assert.equal({ ...state().totals, at: '' }, { objects: 2, bytes: 6, at: '' });
  assert.ok(state().lastFullScan);

  write('a', 'changed');
  renameSync(join(path, 'run1/b'), join(path, 'run1/c'));
  write('d', 'new');
  const dry = json(await tidegate('sync', '-b', bucket, '--dry-run', '--json'));
  assert.equal(
    [dry.dryRun, dry.counts.added + dry.counts.renamed, dry.counts.updated, dry.counts.bytesHashed],
    [true, 2, 1, 0],
  );
  assert.equal(state().totals?.objects, 2, 'a dry run does nothing');
  const onlyNew = json(await tidegate('sync', '-b', bucket, '--prefix', 'd', '--ops', 'WRITE', '--json'));
  assert.equal([onlyNew.prefix, onlyNew.ops, countsOf(onlyNew)], ['d', ['WRITE'], [1, 0, 0, 0, 0]]);
  const rest = json(await tidegate('bucket', 'sync', '-k', key.accessKey, '-b', bucket, '--json'));
  assert.equal([rest.requester, countsOf(rest)], [key.uuid, [0, 1, 0, 1, 1]]);
  rmSync(join(path, 'a'));
  assert.equal(countsOf(json(await tidegate('sync', '-b', bucket, '--json'))), [0, 0, 1, 0, 2]);

  // The digests are in the files: a gateway serves them, and finds nothing to do.
  const gateway = await startGateway({ root, key, flags: ['--sync', 'off', '--log-level', 'warn'] });
  assert.equal([await etagOf(gateway, 'd'), await etagOf(gateway, 'run1/c')], [md5('new'), md5('two')]);
  await gateway.stop();
});

test('while gateways run their leader does it, and the command waits', async () => {
  const flags = ['--log-level', 'warn', '--sync-quiet', '0s', '--sync-watch', 'off'];
  const gateways = [await startGateway({ root, key, flags }), await startGateway({ root, key, flags })];
  const pid = await until('a leader', 10_000, () => {
    try {
      return state().lastFullScan && state().leader?.pid;
    } catch {
      return undefined;
    }
  });
  for (let i = 0; i < 20; i++) write(`d${i % 3}/${i}`, `${i}`);
  const run = json(await s3dsbucket('sync', '-k', key.accessKey, '-b', bucket, '--json'));
  assert.equal(countsOf(run), [20, 0, 0, 0, 0]);
  assert.is(await etagOf(gateways[0]!, 'd1/1'), md5('1'));
  assert.is(state().leader?.pid, pid);
  assert.ok(gateways.some((gateway) => gateway.pid === pid));

  const background = json(await tidegate('sync', '-b', bucket, '--background', '--json'));
  assert.is(background.state, 'queued');
  await until('the end of the sync', 10_000, () => state().ended.some(({ id }) => id === background.id) || undefined);
  for (const gateway of gateways) assert.is(await gateway.stop(), 0);

  const status = await tidegate('sync', 'status', '-b', bucket);
  assert.match(status.stdout, /^bucket results: 20 objects, 30 B\n/);
  assert.match(status.stdout, new RegExp(`\\| ${background.id} \\| done`));
  const shown = JSON.parse((await tidegate('sync', 'status', '-b', bucket, '--json')).stdout);
  assert.equal([shown.running, shown.queued, shown.ended.length, shown.totals.objects], [null, [], 2, 20]);
});

test('interrupted or killed, nothing is wrong: the next that leads finishes it', async () => {
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    for (let i = 0; i < 100; i++) write(`${signal}/${i}`, `${signal} ${i}`);
    // So slow that it cannot be done before the signal comes.
    const slow = { ...process.env, ...env, TIDEGATE_SYNC_RATE: '64K' };
    for (let i = 0; i < 4; i++) write(`${signal}/big${i}`, 'x'.repeat(100_000));
    const args = [join(import.meta.dirname, '../../gateway/cli/tidegate.js'), 'sync', '-b', bucket, '--root', root];
    const child = spawn(process.execPath, args, { env: slow, stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const ended = once(child, 'close');
    await until('a running sync', 20_000, () => {
      try {
        return state().running;
      } catch {
        return undefined;
      }
    });
    child.kill(signal);
    const [code, by] = await ended;
    assert.is(signal === 'SIGINT' ? code : by, signal === 'SIGINT' ? 130 : 'SIGKILL', stderr);
    if (signal === 'SIGINT') assert.match(stderr, /^tidegate: interrupted: sync [0-9a-f-]{36} goes on when/m);
    assert.ok(state().running);
    const left = state().running!.id;
    const run = json(await tidegate('sync', '-b', bucket, '--json'));
    assert.is(run.counts.errors, 0);
    assert.ok(state().ended.some(({ id, state }) => id === left && state === 'done'));
    assert.is(state().running, undefined);
  }
  assert.is(state().totals?.objects, 208);
});

test('a file that cannot be read is told, and the exit code says so', async () => {
  if (process.getuid?.() === 0) {
    // Root reads everything: the bucket is another user's.
    key = await createKey(root, 'g', ['--fsuid', '60123:60123']);
    await runHere(['bucket', 'create', '-k', key.accessKey, '-b', 'others', '--root', root]);
    chmodSync(root, 0o755);
    path = join(root, key.uuid, 'others');
  }
  const name = process.getuid?.() === 0 ? 'others' : bucket;
  write('good', 'good');
  write('secret', 'secret');
  chmodSync(join(path, 'secret'), 0);
  if (name === 'others') for (const each of ['good', 'secret']) chownSync(join(path, each), 60123, 60123);
  const ran = await s3dsbucket('sync', '-k', key.accessKey, '-b', name);
  assert.is(ran.code, 1);
  assert.match(ran.stderr, /^s3dsbucket: 1 file could not be given its ETag; the first: secret: /m);
  assert.match(ran.stdout, /: done\n/);
});

test('what is wrong as given is refused, and nothing is asked for', async () => {
  const other = await createKey(root);
  for (const [args, code, message] of [
    [['-k', other.accessKey, '-b', bucket], 1, /does not belong to the account of AKIA/],
    [['-k', 'AKIAXXXXXXXXXXXXXXXX', '-b', bucket], 1, /there is no access key/],
    [['-k', key.accessKey, '-b', 'nowhere'], 1, /there is no bucket nowhere/],
    [['-k', key.accessKey, '-b', bucket, '--ops', 'WRITE,write'], 2, /--ops takes WRITE, UPDATE, DELETE.*"write"/],
    [['-k', key.accessKey, '-b', bucket, '--ops', ''], 2, /--ops takes/],
    [['-b', bucket], 2, /required option '-k, --key/],
  ] as const) {
    const ran = await tidegate('bucket', 'sync', ...args);
    assert.equal([ran.code, ran.stdout], [code, ''], ran.stderr);
    assert.match(ran.stderr, message);
  }
  const none = await tidegate('sync', 'status', '-b', bucket);
  assert.is(none.stdout, 'bucket results: nobody has looked at its files yet\nno sync was asked for\n');
});

const running = (change: Partial<SyncRun> = {}): SyncRun => ({
  id: 'x',
  state: 'running',
  requester: '',
  requested: '',
  ops: [],
  prefix: '',
  dryRun: false,
  counts: { ...noCounts(), added: 3, bytesHashed: 5 * 1024 ** 2 },
  progress: { seen: 250, expected: 1000 },
  ...change,
});

test('the bar: its share, never full before the end, never wider than the terminal', () => {
  assert.is(progressText(running()), '250 of about 1000 entries, 3 added, 5.0 MiB hashed');
  assert.is(progressText(running({ state: 'queued' })), 'waits for its turn');
  const counts = { ...noCounts(), updated: 1, unchanged: 9, errors: 1 };
  assert.is(progressText(running({ state: 'done', counts })), '1 updated, 9 unchanged, 1 error, 0 B hashed');
  assert.match(progressBar(running(), 200), /^\[######------------------\] {2}25 % {2}250 of about 1000 entries/);
  assert.match(
    progressBar(running({ progress: { seen: 5000, expected: 1000 } }), 200),
    /^\[#{23}-\] {2}99 % {2}5000 entries/,
  );
  assert.match(progressBar(running({ progress: { seen: 5, expected: 0 } }), 200), /^\[-{24}\] +5 entries/);
  for (const columns of [1, 10, 40, 80]) assert.ok(progressBar(running(), columns).length < Math.max(2, columns));
});

test('elsewhere than on a terminal a line now and then', () => {
  const lines: string[] = [];
  let time = 0;
  const progress = createProgress('b', { write: (text) => lines.push(text) }, () => time);
  progress.show(running({ state: 'queued' }));
  for (; time < 12_000; time += 250) progress.show(running({ progress: { seen: time, expected: 0 } }));
  progress.end();
  assert.equal(
    lines.map((line) => line.slice(0, 24)),
    ['sync of b: waits for its', 'sync of b: 0 entries, 3 ', 'sync of b: 5000 entries,', 'sync of b: 10000 entries'],
  );
});

(haveProgram('script') ? test : test.skip)('on a terminal the bar is drawn, and taken away at the end', async () => {
  for (let i = 0; i < 10; i++) write(`${i}`, `${i}`);
  const command = `${process.execPath} ${join(import.meta.dirname, '../../gateway/cli/tidegate.js')} sync -b ${bucket} --root ${root}`;
  const { stdout } = await mustRun('script', ['-qec', command, '/dev/null'], { env: { ...process.env, ...env } });
  assert.match(stdout, /\r\[-{24}\] /);
  assert.ok(stdout.includes('\r\u001b[Ksync of results (WRITE,UPDATE,DELETE): done'), stdout);
});

test.run();
