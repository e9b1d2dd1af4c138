/** Threads that run only where nobody else wants to, and have their share all the same when others want to all the time. */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, getPriority, setPriority } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cpuTime } from '../../gateway/storage/posix/background.js';
import { niceBehind } from '../../gateway/storage/priority.js';
import { keepBehind } from '../../sync/keep-behind.js';
import { startGateway } from '../support/gateway.js';
import { isRoot } from '../support/people.js';
import { until } from '../support/time.js';

const test = suite('keep-behind');

const [SCHED_OTHER, SCHED_IDLE] = [0, 5];
const CAP_SYS_NICE = 23n;
const capable = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`);
/** Tests may run at another nice value than 0, but not at those of which it is the last one. */
const behind = niceBehind();
const asMaster = (capable >> CAP_SYS_NICE) & 1n && behind < 19 ? test : test.skip;

const looksAfter = `
  import { keepBehind } from ${JSON.stringify(new URL('../../sync/keep-behind.js', import.meta.url).href)};
  keepBehind(Number(process.argv[1]));`;

const spin = fileURLToPath(new URL('./spin.js', import.meta.url));
const children = new Set<ChildProcess>();
test.after.each(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

type What = 'both' | 'second' | 'none' | 'program';

async function spinner(nice: number, what: What, options: SpawnOptions = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, [spin, `${nice}`, what], { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  await once(child.stdout!, 'data');
  return child;
}
const spinning = async (nice: number, what: What = 'both', options: SpawnOptions = {}): Promise<number> =>
  (await spinner(nice, what, options)).pid!;

/** So many that no core is left. */
const hogs = () => Promise.all(Array.from({ length: availableParallelism() }, () => spinning(getPriority())));

/** The policies that its threads have ("policy" in proc_pid_stat(5)). */
const policies = (pid: number): number[] => {
  const found = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
  });
  return [...new Set(found)];
};
const all = (pid: number, policy: number) => () => String(policies(pid)) === String(policy) || undefined;

asMaster('all of its threads run only where no other wants to', async () => {
  const pid = await spinning(behind);
  assert.equal(policies(pid), [SCHED_OTHER]);
  const { leave } = keepBehind(pid);
  await until('all are idle', 2_000, all(pid, SCHED_IDLE));
  leave();
});

for (const what of ['both', 'second'] as const) {
  asMaster(`where the others leave it next to nothing it has its share by its nice value: ${what}`, async () => {
    const pid = await spinning(behind, what);
    const { leave } = keepBehind(pid);
    await until('all are idle', 2_000, all(pid, SCHED_IDLE));
    const others = await hogs();
    // Left alone it would have a hundredth of a core, every 1.4 seconds.
    const begun = { at: performance.now(), ran: cpuTime(pid) };
    let [ran, since, longest] = [begun.ran, begun.at, 0];
    for (let now = since; now - begun.at < 4_000; now = performance.now()) {
      await pause(20);
      if (cpuTime(pid) === ran) continue;
      longest = Math.max(longest, now - since);
      [ran, since] = [cpuTime(pid), now];
    }
    assert.ok(ran - begun.ran > 0.025 * 4e9, `${(ran - begun.ran) / 1e6} ms`);
    assert.ok(longest < 1_000, `${longest} ms without`);
    for (const child of children) if (others.includes(child.pid!)) child.kill('SIGKILL');
    await until('idle again', 20_000, all(pid, SCHED_IDLE));
    leave();
    assert.equal(policies(pid), [SCHED_OTHER]);
    await pause(700);
    assert.equal(policies(pid), [SCHED_OTHER], 'nobody looks after it any more');
  });
}

asMaster('who wants no core stays idle, however little it gets', async () => {
  const pid = await spinning(behind, 'none');
  const { leave } = keepBehind(pid);
  await until('all are idle', 2_000, all(pid, SCHED_IDLE));
  await hogs();
  let [looks, idle] = [0, 0];
  for (const end = performance.now() + 3_000; performance.now() < end; looks++) {
    await pause(10);
    if (String(policies(pid)) === String(SCHED_IDLE)) idle++;
  }
  // V8's own threads may have had something left to do.
  assert.ok(idle > 0.7 * looks, `${idle} of ${looks}`);
  leave();
});

asMaster('a program that it starts has its nice value only', async () => {
  const child = await spinner(behind, 'program');
  const { leave } = keepBehind(child.pid!);
  await until('all are idle', 3_500, all(child.pid!, SCHED_IDLE));
  const [text] = await once(child.stdout!, 'data');
  const program = Number(text);
  try {
    await hogs();
    await until('the program is not', 5_000, all(program, SCHED_OTHER));
    assert.is(getPriority(program), behind);
    assert.equal(policies(child.pid!), [SCHED_IDLE]);
  } finally {
    leave();
    process.kill(program, 'SIGKILL');
  }
});

asMaster('it is put back when it is given a better nice value', async () => {
  const pid = await spinning(behind, 'none');
  const { leave } = keepBehind(pid);
  await until('all are idle', 2_000, all(pid, SCHED_IDLE));
  setPriority(pid, behind - 5);
  await until('all are back', 2_000, all(pid, SCHED_OTHER));
  setPriority(pid, behind);
  await until('all are idle again', 2_000, all(pid, SCHED_IDLE));
  leave();
});

asMaster('it is put back when the process that looked after it ends', async () => {
  const pid = await spinning(behind, 'none');
  const keeper = spawn(
    process.execPath,
    ['--input-type=module', '-e', `${looksAfter} setTimeout(process.exit, 1_500)`, `${pid}`],
    {
      stdio: 'inherit',
    },
  );
  children.add(keeper);
  await until('all are idle', 5_000, all(pid, SCHED_IDLE));
  await once(keeper, 'exit');
  assert.equal(policies(pid), [SCHED_OTHER]);
});

asMaster('one that has not given way by itself is left alone', async () => {
  const pid = await spinning(behind - 1);
  const { leave } = keepBehind(pid);
  await pause(800);
  assert.equal(policies(pid), [SCHED_OTHER]);
  leave();
});

asMaster('so is one that could not come back', async () => {
  const nobody = isRoot ? { uid: 60101, gid: 60101 } : {};
  const pid = await spinning(behind, 'both', nobody);
  const keeper = spawn(
    process.execPath,
    ['--input-type=module', '-e', `${looksAfter} setTimeout(() => {}, 60_000)`, `${pid}`],
    {
      ...nobody,
      stdio: 'inherit',
    },
  );
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
    // While the gateway closes it has work to do that is waited for.
    process.kill(engine, 'SIGSTOP');
    const stopped = gateway.stop();
    await until('all are back', 4_000, all(engine, SCHED_OTHER)).finally(() => process.kill(engine, 'SIGCONT'));
    assert.is(await stopped, 0);
  } finally {
    await gateway.stop();
  }
});

test.run();
