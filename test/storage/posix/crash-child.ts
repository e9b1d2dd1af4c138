/** Overwrites a few keys as fast as it can, and tells of each success, until it is killed. */
import { noise, put } from '../../suites/storage-tools.js';
import { openBench } from './store.js';

const [root, round] = process.argv.slice(2) as [string, string];
const { storage, at } = await openBench({ root, durability: 'data' });
let seed = Number(round) * 100_000;
/** Each has keys of its own: what it told last of one is what must stand there, or something later. */
const writer = async (_: unknown, which: number): Promise<void> => {
  for (;;) {
    const mine = ++seed;
    const key = `d${mine % 5}/w${which}-${mine % 8}`;
    const size = mine % 3 === 0 ? 400_000 : mine % 1000;
    await put(storage, at, key, noise(size, mine), { user: { seed: String(mine) } });
    process.send!({ key, seed: mine });
  }
};
await Promise.all(Array.from({ length: 6 }, writer));
