/** Tries to open a catalog while the process has no descriptor left for it; run with a small `ulimit -n`. */
import { closeSync, openSync } from 'node:fs';
import { openCatalog } from '../../sync/catalog.js';

const taken: number[] = [];
try {
  for (;;) taken.push(openSync('/dev/null', 'r'));
} catch {
  // One is left, for the file that says that it is being opened.
  closeSync(taken.pop()!);
}
try {
  openCatalog(process.argv[2]!, 0);
  console.log('opened');
} catch (error) {
  console.log(`refused: ${String(error)}`);
}
process.exit(0);
