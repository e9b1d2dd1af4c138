/** Temporary directories that vanish when the process ends, whatever way it ends short of SIGKILL. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made: string[] = [];

/** A new empty directory, removed at exit. */
export function tempDir(name = 'tidegate-'): string {
  if (made.length === 0) {
    process.on('exit', () => {
      for (const dir of made) rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
    });
  }
  const dir = mkdtempSync(join(tmpdir(), name));
  made.push(dir);
  return dir;
}
