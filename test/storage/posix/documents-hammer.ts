/** A process of its own for documents.test.ts: counts up one document `times` times. */
import { createDocuments } from '../../../gateway/storage/posix/documents.js';
import { createPool } from '../../../gateway/storage/posix/pool.js';

const [root, times, self] = process.argv.slice(2) as [string, string, string];
const pool = createPool({ workers: 1 });
const documents = createDocuments(root, pool);
let created = 0;
await Promise.all(
  Array.from({ length: Number(times) }, async (_, i) => {
    await documents.update<Record<string, number>>('keys', 'counter', (current) => ({
      ...current,
      n: current['n']! + 1,
      [self]: (current[self] ?? 0) + 1,
    }));
    if (await documents.create('accounts', `race-${i}`, { by: self })) created++;
  }),
);
await pool.close();
console.log(created);
