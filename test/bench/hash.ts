/**
 * How fast files are stamped, beside what MD5 alone does on one core in the same run.
 *
 *     npm run build && node dist/test/bench/hash.js [directory] [lanes]
 *
 * One file of 1 GiB (in the page cache), 200 of 4 MiB, 5,000 of 4 KiB. Rates in MB/s (10^6) and files/s.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noise } from '../suites/storage-tools.js';
import { openStamping, stamped } from '../sync/stamping.js';

const [directory = tmpdir(), lanes = '1'] = process.argv.slice(2);
const root = mkdtempSync(join(directory, 'tidegate-bench-'));
const rate = (bytes: number, ms: number) => `${Math.round(bytes / 1000 / ms)} MB/s`;

const chunk = noise(1 << 20);
const hash = createHash('md5');
let begun = performance.now();
for (let i = 0; i < 1024; i++) hash.update(chunk);
console.log(`MD5 alone, 1 core: ${rate(1 << 30, performance.now() - begun)}`);

try {
  for (const checksum of [undefined, 'CRC64NVME'] as const) {
    const bench = await openStamping({ root: join(root, `${checksum}`), hashers: Number(lanes), checksum });
    const measure = async (what: string, count: number, bytes: Buffer) => {
      for (let i = 0; i < count; i++) writeFileSync(bench.file(`${what}-${i}`), bytes);
      begun = performance.now();
      await Promise.all(Array.from({ length: count }, (_, i) => stamped(bench.stamp(`${what}-${i}`))));
      const ms = performance.now() - begun;
      const files = `${Math.round((count * 1000) / ms)} files/s`;
      console.log(`${checksum ?? 'MD5 only'}, ${lanes} lane(s), ${what}: ${rate(count * bytes.length, ms)}, ${files}`);
    };
    await measure('warm-up', 10, chunk);
    await measure('1 GiB', 1, Buffer.concat(Array.from({ length: 1024 }, () => chunk)));
    await measure('4 MiB', 200, Buffer.concat([chunk, chunk, chunk, chunk]));
    await measure('4 KiB', 5_000, chunk.subarray(0, 4096));
    await bench.close();
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
