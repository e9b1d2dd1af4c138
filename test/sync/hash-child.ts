/** Stamps the files of a bucket until it is killed: `hash-child.js <root> <count>`. */
import { openStamping } from './stamping.js';

const [root, count] = [process.argv[2]!, Number(process.argv[3])];
const bench = await openStamping({ root, durability: 'full' });
await bench.stamp('f0');
process.stdout.write('begun\n');
await Promise.all(Array.from({ length: count }, (_, i) => bench.stamp(`f${i}`)));
await bench.close();
