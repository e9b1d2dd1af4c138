/** Reads the changelog of MOUNT for BUCKET, keeps its state in FILE, and settles only hints of names that begin with `s`. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createChangelog } from '../../sync/changelog.js';
import { lfs, MDT0 } from './lustre.js';

const [mount, bucket, file] = process.argv.slice(2) as [string, string, string];
const changelog = createChangelog({
  mount,
  users: { [MDT0]: 'cl1' },
  load: async () => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined),
  save: async (state) => writeFileSync(file, JSON.stringify(state)),
  log: { info: console.error, warn: console.error },
  command: lfs,
  pollMs: 20,
});
await changelog.source(bucket).start({
  hint({ name, settled }) {
    console.log(`hint ${name}`);
    if (name?.startsWith('s')) settled?.();
  },
  lost: (_dir, why) => console.log(`lost ${why}`),
});
console.log('started');
