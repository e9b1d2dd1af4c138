/**
 * What `tidegate serve` does first, before the program is loaded: it is executed anew anyway (`privileges.ts`), and loading
 * it twice would take as long as all the rest of the start.
 */
import { readFileSync } from 'node:fs';
import { shedPrivileges } from '../storage/posix/privileges.js';

/** A gateway that reads changelogs needs capabilities for that: then it is done when the configuration is read. */
function mayReadChangelogs(args: readonly string[]): boolean {
  if (process.env['TIDEGATE_CHANGELOG'] || args.some((arg) => arg.startsWith('--changelog'))) return true;
  const at = args.findIndex((arg) => arg.startsWith('--config'));
  const file = at < 0 ? 'tidegate.json' : (/=(.*)/s.exec(args[at]!)?.[1] ?? args[at + 1] ?? '');
  try {
    return readFileSync(file, 'utf8').includes('changelog');
  } catch {
    return false;
  }
}

/** Returns in the process that goes on. @param args of the command, the program's name not among them */
export function launch(args: readonly string[]): void {
  const asks = args.some((arg) => arg === '--help' || arg === '-h');
  if (args[0] === 'serve' && !asks && !mayReadChangelogs(args)) shedPrivileges();
}
