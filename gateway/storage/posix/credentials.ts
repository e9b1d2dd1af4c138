/** System calls about what a thread may do, and the one that begins anew with less. */
import { bind, nr, orThrow, outcome } from './libc.js';

const twoBufs = bind(', void *a, void *b');
const n3 = bind(', long a, long b, long c');
const prctlRaw = bind(', long option, long a, long b, long c, long d');
const execveRaw = bind(', const char *path, const char **argv, const char **env');

const capHeader = Uint32Array.of(0x20080522, 0); // _LINUX_CAPABILITY_VERSION_3, this thread
const capData = new Uint32Array(6); // effective, permitted, inheritable: the lower 32 bits of each, then the upper

/**
 * Leaves this thread, for good, no capabilities but those of `kept` (a bit for each) that it has; what a program that it
 * executes would inherit goes as well.
 */
export const keepCapabilities = (kept: bigint): void => {
  orThrow(twoBufs(nr.capget, capHeader, capData), 'capget');
  for (const word of [0, 1]) {
    const mask = Number((kept >> BigInt(32 * word)) & 0xffffffffn);
    const [effective, permitted, inheritable] = [3 * word, 3 * word + 1, 3 * word + 2];
    capData[effective] = (capData[effective]! & mask) >>> 0;
    capData[permitted] = (capData[permitted]! & mask) >>> 0;
    capData[inheritable] = 0;
  }
  orThrow(twoBufs(nr.capset, capHeader, capData), 'capset');
};

/** prctl(2); returns its result or -errno. */
export const tryPrctl = (option: number, argument: number): number =>
  outcome(prctlRaw(nr.prctl, option, argument, 0, 0, 0));

const F_SETFD = 2;

/**
 * Becomes another program, with one thread and the standard streams of this one; returns -errno when it cannot, and else
 * not at all.
 */
export const tryExecve = (path: string, argv: readonly string[], env: readonly string[]): number => {
  // Node keeps them from its children; those that it starts are given them anew.
  for (const stream of [0, 1, 2]) n3(nr.fcntl, stream, F_SETFD, 0);
  return outcome(execveRaw(nr.execve, path, [...argv, null], [...env, null]));
};
