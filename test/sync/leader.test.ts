// timeout: 240
/** Leases between real processes, which are killed and paused. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Candidate, type CandidateOptions, createCandidate, type Lease } from '../../sync/leader.js';
import { type Leader, readLeader } from '../../sync/leader-record.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';

const test = suite('leader');

/**
 * The times of the product, a tenth or less of them, so that a test need not wait for half a minute. Processes beat so often
 * that they lose nothing by waiting for a processor, or for the disk.
 */
const quick = { beatMs: 100, settleMs: 800, ttlMs: 2000, graceMs: 100 };
/** Longer than the time to live. */
const LONG_MS = 2700;
const byClock = { ...quick, flock: false };
const me = (host: string) => ({ host, pid: process.pid });

interface Child {
  process: ChildProcess;
  output(): string;
  said(text: string): Promise<void>;
}

const children = new Set<ChildProcess>();
const candidates = new Set<Candidate>();
test.after.each(() => {
  for (const candidate of candidates) candidate.withdraw();
  for (const child of children) child.kill('SIGKILL');
  candidates.clear();
  children.clear();
});

function startChild(directory: string, name: string, options: CandidateOptions, turns?: number): Child {
  const script = join(import.meta.dirname, 'leader-child.js');
  const args = [script, directory, name, JSON.stringify(options), ...(turns ? [`${turns}`] : [])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text));
  return {
    process: child,
    output: () => output,
    said: async (text) => {
      await until(`${name}: ${text}`, 20_000, () => output.includes(`${text}\n`) || undefined);
    },
  };
}

const stand = (directory: string, options: CandidateOptions, host = 'here'): Candidate => {
  const candidate = createCandidate(directory, me(host), options);
  candidates.add(candidate);
  return candidate;
};

/** Tries until it leads; with the milliseconds that took, and the longest time between two tries: a machine may be busy. */
async function lead(candidate: Candidate): Promise<{ lease: Lease; ms: number; gap: number }> {
  const start = performance.now();
  let [gap, last] = [0, start];
  const lease = await until('to lead', 20_000, () => {
    const led = candidate.tryLead();
    const now = performance.now();
    [gap, last] = [Math.max(gap, now - last), now];
    return led;
  });
  return { lease, ms: last - start, gap };
}

/** Of one who follows by the clock: no sooner than the record has stood still for long enough, and no later than is stated. */
function inTime({ ms, gap }: { ms: number; gap: number }, { renewed }: Leader): void {
  const age = Date.now() - Date.parse(renewed);
  assert.ok(age >= byClock.ttlMs, `followed ${age} ms after the record was renewed`);
  // Seen to have changed, to stand still, and long enough for a write to end: each at the next try.
  const most = byClock.ttlMs + byClock.graceMs + 3 * gap + 50;
  assert.ok(ms <= most, `after ${ms} ms, at most ${most}`);
}

/** Tries for so long, in vain. */
async function refused(candidate: Candidate, ms: number): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(10)) {
    assert.is(candidate.tryLead(), undefined);
  }
}

/** One who was stopped between the question and its write makes that one still. */
const noMore = (directory: string, before: number): void => {
  const now = commits(directory).length;
  assert.ok(now <= before + 1, `${now - before} commits after the end`);
};

const commits = (directory: string): string[] => {
  const path = join(directory, 'commits');
  // Whoever has told that he leads may be stopped before the first.
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
};

for (const options of [quick, byClock]) {
  const kind = options === quick ? 'flock' : 'clock';

  test(`${kind}: one leads, the other when it has gone; the directory is private`, async () => {
    const directory = join(tempDir(), 'sync/bucket');
    const first = stand(directory, options);
    const second = stand(directory, options, 'there');
    assert.is(readLeader(directory), undefined);
    const lease = first.tryLead()!;
    assert.is(lease.epoch, 1);
    assert.is(first.tryLead(), lease);
    assert.is(second.tryLead(), undefined);
    const shown = readLeader(directory)!;
    assert.equal([shown.host, shown.pid, shown.epoch, shown.since], ['here', process.pid, 1, lease.since]);
    assert.is(statSync(directory).mode & 0o777, 0o700);
    // Longer than the time to live: the timer renews.
    await refused(second, LONG_MS);
    assert.ok(lease.held());
    lease.release();
    assert.is(lease.held(), false);
    assert.is(readLeader(directory), undefined);
    assert.is(second.tryLead()?.epoch, 2);
    assert.is(first.tryLead(), undefined);
    assert.equal(readdirSync(join(directory, 'leader')), ['2']);
    assert.equal(readdirSync(directory).sort(), kind === 'flock' ? ['leader', 'leader.lock'] : ['leader']);
    lease.release();
    assert.is(second.tryLead()?.held(), true);
  });

  test(`${kind}: six processes, never two at once, an epoch for each leadership`, async () => {
    const directory = tempDir();
    const racing = Array.from({ length: 6 }, (_, i) => startChild(directory, `p${i}`, options, 25));
    const codes = await Promise.all(racing.map(async (child) => (await once(child.process, 'exit'))[0]));
    assert.equal(codes, [0, 0, 0, 0, 0, 0]);
    const expected = Array.from({ length: 150 }, (_, i) => [i + 1, i + 1, i + 1]).flat();
    assert.equal(
      commits(directory).map((line) => Number.parseInt(line, 10)),
      expected,
    );
  });

  test(`${kind}: a busy thread stays leader as long as it asks`, async () => {
    const directory = tempDir();
    const lease = stand(directory, options).tryLead()!;
    const other = startChild(directory, 'other', options);
    for (const end = performance.now() + LONG_MS; performance.now() < end; ) assert.ok(lease.held());
    // What it has said comes now.
    await sleep(50);
    assert.is(other.output(), '');
    lease.release();
    await other.said('led 2');
  });

  test(`${kind}: a damaged record, and a directory that vanishes`, async () => {
    const directory = tempDir();
    const candidate = stand(directory, options);
    const lease = candidate.tryLead()!;
    writeFileSync(join(directory, 'leader/1'), '{"epoch":');
    assert.is(lease.held(), false);
    assert.is(readLeader(directory), undefined);
    const { lease: again, ms } = await lead(candidate);
    assert.is(again.epoch, 2);
    assert.ok(ms >= options.ttlMs, `${ms} ms`);
    unlinkSync(join(directory, 'leader/2'));
    assert.is(again.held(), false);
    assert.is(candidate.tryLead()?.epoch, 1);
  });
}

test('flock: killed, and the next try leads', async () => {
  const directory = tempDir();
  const child = startChild(directory, 'child', quick);
  await child.said('led 1');
  const candidate = stand(directory, quick);
  await refused(candidate, 300);
  child.process.kill('SIGKILL');
  await once(child.process, 'exit');
  assert.is(candidate.tryLead()?.epoch, 2);
});

test('flock: nobody takes over from a paused process', async () => {
  const directory = tempDir();
  const child = startChild(directory, 'child', quick);
  await child.said('led 1');
  child.process.kill('SIGSTOP');
  await refused(stand(directory, quick), LONG_MS);
  await refused(stand(directory, { ...quick, place: 'another' }), 500);
  const before = commits(directory).length;
  child.process.kill('SIGCONT');
  await until('it goes on', 20_000, () => commits(directory).length > before + 5 || undefined);
  assert.is(child.output(), 'led 1\n');
});

test('clock: a paused process is followed after the time to live, and knows it when it wakes', async () => {
  const directory = tempDir();
  const child = startChild(directory, 'child', byClock);
  await child.said('led 1');
  const [candidate, third] = [stand(directory, byClock), stand(directory, byClock, 'third')];
  await refused(candidate, LONG_MS);
  child.process.kill('SIGSTOP');
  const last = readLeader(directory)!;
  const { lease, ...time } = await lead(candidate);
  assert.is(lease.epoch, 2);
  inTime(time, last);
  assert.is(third.tryLead(), undefined);
  const before = commits(directory).length;
  child.process.kill('SIGCONT');
  await child.said('lost 1');
  noMore(directory, before);
  await sleep(LONG_MS);
  assert.is(lease.held(), true);
  assert.is(child.output(), 'led 1\nlost 1\n');
});

test('clock: killed, and followed within the stated time', async () => {
  const directory = tempDir();
  const child = startChild(directory, 'child', byClock);
  await child.said('led 1');
  const candidate = stand(directory, byClock);
  candidate.tryLead();
  child.process.kill('SIGKILL');
  const last = readLeader(directory)!;
  inTime(await lead(candidate), last);
});

test('another machine waits until the record stands still', async () => {
  const directory = tempDir();
  const child = startChild(directory, 'child', quick);
  await child.said('led 1');
  const candidate = stand(directory, { ...quick, place: 'another' });
  await refused(candidate, 200);
  child.process.kill('SIGKILL');
  await once(child.process, 'exit');
  await refused(candidate, 700);
  const { lease } = await lead(candidate);
  assert.equal([lease.epoch, lease.lock], [2, 'flock']);
});

test('a flock that is local to each machine: not from one who lives, after the time to live from one who does not', async () => {
  const directory = tempDir();
  const child = startChild(directory, 'child', quick);
  await child.said('led 1');
  // With its file gone, the lock that we take is another than the one it has.
  unlinkSync(join(directory, 'leader.lock'));
  const candidate = stand(directory, { ...quick, place: 'another' });
  await refused(candidate, LONG_MS);
  assert.is(child.output(), 'led 1\n');
  child.process.kill('SIGSTOP');
  const last = readLeader(directory)!;
  const { lease, ...time } = await lead(candidate);
  inTime(time, last);
  assert.equal([lease.epoch, lease.lock], [2, 'none']);
  const before = commits(directory).length;
  child.process.kill('SIGCONT');
  await child.said('lost 1');
  noMore(directory, before);
});

test('a thread that ends by an error does not leave the lock to its process', async () => {
  const directory = tempDir();
  const thread = new Worker(join(import.meta.dirname, 'leader-thread.js'), {
    workerData: directory,
    trackUnmanagedFds: false,
  });
  const ended = new Promise((resolve) => thread.once('exit', resolve));
  const [error] = (await once(thread, 'error')) as [Error];
  assert.is(error.message, 'after epoch 1');
  await ended;
  assert.is(stand(directory, quick).tryLead()?.epoch, 2);
});

test('withdrawn while it waits to lead: the next need not wait', async () => {
  const directory = tempDir();
  const child = startChild(directory, 'child', byClock);
  await child.said('led 1');
  child.process.kill('SIGKILL');
  const candidate = stand(directory, { ...byClock, graceMs: 60_000 });
  await until('the claim', 20_000, () => {
    candidate.tryLead();
    return readLeader(directory)?.host === 'here' || undefined;
  });
  candidate.withdraw();
  assert.is(candidate.tryLead(), undefined);
  assert.is(stand(directory, byClock).tryLead()?.epoch, 3);
});

test('a place that cannot be a directory is an error', () => {
  const file = join(tempDir(), 'file');
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, '');
  assert.throws(() => stand(join(file, 'x'), quick).tryLead(), /ENOTDIR/);
});

test.run();
