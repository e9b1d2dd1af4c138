/** A file's times, to the nanosecond. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';

/** Does something to a file and puts its mtime back, as `touch -r` does; Node's `utimes` would cut it off. */
export function keepingTime(path: string, work: () => void): void {
  const before = statSync(path, { bigint: true }).mtimeNs;
  work();
  const [seconds, rest] = [before / 1_000_000_000n, String(before % 1_000_000_000n).padStart(9, '0')];
  execFileSync('touch', ['-m', '-d', `@${seconds}.${rest}`, path]);
  const after = statSync(path, { bigint: true }).mtimeNs;
  if (after !== before) throw new Error(`${path}: ${after}, not ${before}`);
}
