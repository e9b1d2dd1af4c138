/**
 * Tries to open a catalog, the first one of its process; with `starved` while it has no descriptor left for it: run with a small
 * `ulimit -n` then.
 */
import { closeSync, openSync } from 'node:fs';
import { openCatalog } from '../../sync/catalog.js';

const [directory, starved] = process.argv.slice(2);
const taken: number[] = [];
try {
  while (starved) taken.push(openSync('/dev/null', 'r'));
} catch {
  // One is left, for the file that says that it is being opened.
  closeSync(taken.pop()!);
}
try {
  openCatalog(directory!, 0);
  console.log('opened');
} catch (error) {
  console.log(`refused: ${String(error)}`);
}
process.exit(0);
