/** Threads that run only where nobody else wants to, and have their share all the same when others want to all the time. */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, getPriority } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { niceBehind } from '../../gateway/storage/priority.js';
import { keepBehind } from '../../sync/keep-behind.js';
import { startGateway } from '../support/gateway.js';
import { isRoot } from '../support/people.js';
import { until } from '../support/time.js';

const test = suite('keep-behind');

const [SCHED_OTHER, SCHED_IDLE] = [0, 5];
const CAP_SYS_NICE = 23n;
const capable = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`);
const asMaster = (capable >> CAP_SYS_NICE) & 1n ? test : test.skip;

const spin = fileURLToPath(new URL('./spin.js', import.meta.url));
const children = new Set<ChildProcess>();
test.after.each(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

async function spinning(nice: number, options: SpawnOptions = {}): Promise<number> {
  const child = spawn(process.execPath, [spin, `${nice}`], { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  await once(child.stdout!, 'data');
  return child.pid!;
}

/** The policies that its threads have ("policy" in proc_pid_stat(5)). */
const policies = (pid: number): number[] => {
  const found = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
  });
  return [...new Set(found)];
};
const all = (pid: number, policy: number) => () => String(policies(pid)) === String(policy) || undefined;

/** Tests may run at another nice value than 0. */
const behind = niceBehind();

asMaster('all of its threads run only where no other wants to', async () => {
  const pid = await spinning(behind);
  assert.equal(policies(pid), [SCHED_OTHER]);
  const leave = keepBehind(pid);
  await until('all are idle', 2_000, all(pid, SCHED_IDLE));
  leave();
});

asMaster('where the others leave it next to nothing, it is among them by its nice value, again and again', async () => {
  const pid = await spinning(behind);
  const leave = keepBehind(pid);
  await until('all are idle', 2_000, all(pid, SCHED_IDLE));
  const hogs = await Promise.all(Array.from({ length: availableParallelism() }, () => spinning(getPriority())));
  for (const policy of [SCHED_OTHER, SCHED_IDLE, SCHED_OTHER, SCHED_IDLE, SCHED_OTHER]) {
    await until(`policy ${policy}`, 5_000, all(pid, policy));
  }
  for (const child of children) if (hogs.includes(child.pid!)) child.kill('SIGKILL');
  await until('all are idle', 2_000, all(pid, SCHED_IDLE));
  // What it wants it gets: it stays so.
  await pause(300);
  for (let look = 0; look < 20; look++) {
    assert.equal(policies(pid), [SCHED_IDLE]);
    await pause(20);
  }
  leave();
});

asMaster('one that has not given way by itself is left alone', async () => {
  const pid = await spinning(behind - 1);
  const leave = keepBehind(pid);
  await pause(800);
  assert.equal(policies(pid), [SCHED_OTHER]);
  leave();
});

asMaster('so is one that could not come back', async () => {
  const looksAfter = `
    import { keepBehind } from ${JSON.stringify(new URL('../../sync/keep-behind.js', import.meta.url).href)};
    keepBehind(Number(process.argv[1]));
    setTimeout(() => {}, 60_000);`;
  const nobody = isRoot ? { uid: 60101, gid: 60101 } : {};
  const pid = await spinning(behind, nobody);
  const keeper = spawn(process.execPath, ['--input-type=module', '-e', looksAfter, `${pid}`], {
    ...nobody,
    stdio: 'inherit',
  });
  children.add(keeper);
  // It has been tried: nothing lower than this one step is allowed.
  await until('it was looked at', 10_000, () => getPriority(pid) === behind + 1 || undefined);
  await pause(300);
  assert.equal(policies(pid), [SCHED_OTHER]);
});

asMaster('the engine of a gateway is kept so, and still has its place at the disk', async () => {
  const gateway = await startGateway();
  try {
    const engine = await until('the engine runs', 10_000, () => {
      const [pid] = readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'latin1').split(' ');
      return Number(pid) || undefined;
    });
    await until('all are idle', 10_000, all(engine, SCHED_IDLE));
    assert.equal(policies(gateway.pid), [SCHED_OTHER]);
    for (const thread of readdirSync(`/proc/${engine}/task`)) {
      assert.match(execFileSync('ionice', ['-p', thread], { encoding: 'utf8' }), /best-effort: prio [67]/);
    }
  } finally {
    await gateway.stop();
  }
});

test.run();
