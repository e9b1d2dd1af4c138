/**
 * A process that stands for a leadership: for leader.test.ts, which stops and kills it.
 *
 *     leader-child.js DIRECTORY NAME OPTIONS [TURNS]
 *
 * Appends `EPOCH NAME` to DIRECTORY/commits again and again, each time after asking `held()`, as the catalog's writer
 * does. With TURNS it gives the leadership up after three commits, so often. Writes `led EPOCH` and `lost EPOCH`.
 */
import { appendFileSync, linkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CandidateOptions, createCandidate } from '../../sync/leader.js';

const [directory, name, json, turns] = process.argv.slice(2) as [string, string, string, string?];
const candidate = createCandidate(directory, { host: name, pid: process.pid }, JSON.parse(json) as CandidateOptions);
const guard = join(directory, 'guard');
const mine = join(directory, `guard-${name}`);

for (let left = Number(turns ?? 0); ; ) {
  const lease = candidate.tryLead();
  if (!lease) {
    await sleep(turns ? Math.random() * 3 : 10);
    continue;
  }
  console.log(`led ${lease.epoch}`);
  if (turns) {
    // The name exists while somebody leads: a second leader could not make it.
    writeFileSync(mine, name);
    linkSync(mine, guard);
  }
  for (let commits = 0; lease.held(); commits++) {
    appendFileSync(join(directory, 'commits'), `${lease.epoch} ${name}\n`);
    if (turns && commits === 2) {
      unlinkSync(guard);
      unlinkSync(mine);
      lease.release();
    } else await sleep(turns ? 0 : 10);
  }
  console.log(`lost ${lease.epoch}`);
  if (turns && --left === 0) break;
}
candidate.withdraw();
