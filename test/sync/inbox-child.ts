/** Records changes as fast as it can, and tells its parent of each that is settled. Is killed. */
import { openInbox } from '../../sync/inbox.js';
import { change } from './changes.js';

const [directory, who] = process.argv.slice(2) as [string, string];
const inbox = openInbox(directory, { rollBytes: 20_000 });
let count = 0;

async function one(): Promise<void> {
  for (;;) {
    const made = change(`${who}/${count++}`, { size: count });
    await inbox.record(made);
    process.send!(made.key);
  }
}
await Promise.all(Array.from({ length: 16 }, one));
