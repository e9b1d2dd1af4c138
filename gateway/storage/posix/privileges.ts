/**
 * What root may do and the gateway does not need. A gateway that runs as root could pass disk quotas (CAP_SYS_RESOURCE),
 * trace processes or load modules; it keeps what switching identities and its own files take.
 */
import { readFileSync } from 'node:fs';
import { keepCapabilities, tryExecve, tryPrctl } from './credentials.js';
import { canSwitch } from './identity.js';
import {
  CAP_CHOWN,
  CAP_DAC_OVERRIDE,
  CAP_FOWNER,
  CAP_NET_BIND_SERVICE,
  CAP_SETGID,
  CAP_SETUID,
  CAP_SYS_NICE,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
} from './linux.js';

/** The first three hold only while a thread is the gateway itself: leaving fsuid 0 takes them away. */
const needed = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SETGID, CAP_SETUID };
/** For ports below 1024, and for what the gateway does with the sync engine (`sync/keep-behind.ts`). */
const kept = { ...needed, CAP_NET_BIND_SERVICE, CAP_SYS_NICE };

const maskOf = (capabilities: Record<string, number>): bigint =>
  Object.values(capabilities).reduce((sum, capability) => sum | (1n << BigInt(capability)), 0n);
const mask = maskOf(kept);

/** Drops all but those for files, for the calling thread and for the threads it starts. */
export const dropPrivileges = (): void => {
  if (canSwitch) keepCapabilities(maskOf(needed));
};

/** One set of capabilities of this thread: `CapPrm`, `CapEff`, … as /proc shows them. */
const capabilities = (set: string): bigint => {
  const status = readFileSync('/proc/thread-self/status', 'utf8');
  return BigInt(`0x${new RegExp(`^${set}:\\s*([0-9a-f]+)`, 'm').exec(status)?.[1] ?? '0'}`);
};

/** Says that this very process, which keeps its number, was executed for that already: never in circles. */
const MARK = 'TIDEGATE_EXECUTED_ANEW';

/**
 * What Node is to be started with. Young objects are collected in two halves of at most so many MiB: 32 would save 2% of a
 * small GET and take 32 MiB more, with 8 it takes a tenth longer.
 */
const nodeFlags = ['--max-semi-space-size=16'];

/**
 * And in what environment: by itself glibc gives threads memory of their own to allocate from, up to eight pieces a core, and what
 * is free in one is of no use to the others. Two take 20 MiB less under a mixed load, and no time; mallopt(3) tells more.
 */
const nodeEnvironment = { MALLOC_ARENA_MAX: '2' };

const missingFlags = (): string[] => {
  const given = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ');
  return nodeFlags.filter((flag) => !given.includes(flag.slice(0, flag.indexOf('='))));
};

/**
 * Drops them for every thread of the process. A thread can do so only for itself, and Node has started some before any of
 * our code runs: so the program is executed anew, in the same process, with a bounding set (capabilities(7)) that leaves
 * no more, with `nodeFlags` and `nodeEnvironment`. Returns when there is nothing to do, or when it cannot be done so; then the
 * threads that are started from now on, those that work on files among them, are without. Called again, it does nothing more.
 * @param programs capabilities that programs started by the gateway need: they stay within reach, for nothing else
 */
export const shedPrivileges = (programs: readonly number[] = []): void => {
  // A parent that talks to us through a channel of Node's would lose it.
  const again = process.env[MARK] !== `${process.pid}` && process.send === undefined;
  const whole = !canSwitch || (capabilities('CapPrm') & ~mask) === 0n;
  const bounded =
    again && !whole && boundBy(programs.reduce((sum, capability) => sum | (1n << BigInt(capability)), mask));
  if (canSwitch) keepCapabilities(mask);
  const flags = missingFlags();
  const complete = flags.length === 0 && Object.keys(nodeEnvironment).every((name) => process.env[name] !== undefined);
  if (!again || (!bounded && complete)) return;
  const all = { ...nodeEnvironment, ...process.env, [MARK]: `${process.pid}` };
  const env = Object.entries(all).map(([name, value]) => `${name}=${value}`);
  tryExecve(process.execPath, [process.argv0, ...flags, ...process.execArgv, ...process.argv.slice(1)], env);
};

/** After the last `shedPrivileges`: programs that this one starts are none of it. */
export const forgetExecution = (): void => {
  delete process.env[MARK];
};

const boundBy = (most: bigint): boolean => {
  tryPrctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  for (let capability = 0; tryPrctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
    if ((most >> BigInt(capability)) & 1n) continue;
    if (tryPrctl(PR_CAPBSET_DROP, capability) < 0) return false; // without CAP_SETPCAP
  }
  return true;
};

/** Who the gateway is to the kernel and what follows from it: for the log, at the start. */
export const identityStatement = (): { message: string; problem: boolean } => {
  const [uid, gid] = [process.geteuid!(), process.getegid!()];
  if (!canSwitch) {
    const message =
      `not root: single identity, all files are worked on as uid ${uid}, gid ${gid}, whoever owns the bucket or asks; ` +
      'its rights and quotas hold for everybody';
    return { message, problem: false };
  }
  const effective = capabilities('CapEff');
  const has = ([, capability]: [string, number]) => ((effective >> BigInt(capability)) & 1n) === 1n;
  const missing = Object.entries(needed).filter((entry) => !has(entry));
  const names = Object.entries(kept)
    .filter(has)
    .map(([name]) => name);
  if (missing.length > 0) {
    const message = `as root, but without ${missing.map(([name]) => name).join(', ')}: files cannot be worked on as their owners`;
    return { message, problem: true };
  }
  const everywhere = (capabilities('CapBnd') & ~mask) === 0n;
  const message =
    'as root: the files of a bucket are worked on as its owner or requester, with uid, gid and groups; ' +
    `kept ${names.join(', ')}, dropped all other capabilities${everywhere ? '' : ' in the threads that work on files'}`;
  return { message, problem: false };
};
