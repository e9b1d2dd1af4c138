/** Opens catalogs one after the other, each in a directory that whoever hears of it removes in that moment; tells how it went. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openCatalog } from '../../sync/catalog.js';

const [base, count] = process.argv.slice(2);
for (let number = 0; number < Number(count); number++) {
  const directory = join(base!, `${number}`);
  mkdirSync(directory);
  process.send!(directory);
  // Whoever hears it looks out by now.
  const until = performance.now() + 5;
  while (performance.now() < until);
  let end = 'opened';
  try {
    const catalog = openCatalog(directory, 0);
    catalog.commit({ notes: { a: 1 } });
    await catalog.close();
  } catch (error) {
    end = String((error as NodeJS.ErrnoException).code);
  }
  process.send!(`${directory} ${end}`);
}
process.disconnect();
