/** What a status tells without BigInts is what it tells with them. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { milliseconds } from '../../../gateway/storage/posix/lookup.js';
import { lookAt, seenMode, seenNumbers, seenStat, seenWords, WORD } from '../../../gateway/storage/posix/status.js';
import { tempDir } from '../../support/temp.js';

const test = suite('status');

test('numbers are those of the whole status, whatever time and length a job has given to its file', () => {
  const path = tempDir();
  const directory = openSync(path, 'r');
  const seconds = ['1', '9', '10', '99', '1764057600', '1000000000', '999999999', '4294967295'];
  const times = [...seconds, '1.000000001', '1764057600.000000999', '1764057600.999999999', '4294967295.5'];
  const sizes = [0, 9, 10, 2 ** 32 + 7, 999_999_999, 1_000_000_000, 10_000_000_000, 2 ** 43 - 5];
  const odd = ['-1.5', '0', '0.000000005', '4294967296', '7000000000.25'];
  try {
    for (const [i, time] of [...times, ...odd].entries()) {
      const file = join(path, `f${i}`);
      writeFileSync(file, '');
      truncateSync(file, sizes[i % sizes.length]);
      execFileSync('touch', ['-d', `@${time}`, file]);
      assert.ok(lookAt(directory, `f${i}`));
      const [stat, numbers] = [seenStat(), seenNumbers()];
      assert.is(seenMode(), stat.mode);
      assert.is(numbers === undefined, i >= times.length, time);
      if (!numbers) continue;
      assert.equal(
        { ...numbers, print: numbers.print.toString() },
        {
          size: stat.size,
          modified: milliseconds(stat.mtimeNs),
          changed: milliseconds(stat.ctimeNs),
          print: `${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`,
        },
      );
    }
    // As a broken filesystem tells it: only the exact way carries the second.
    assert.ok(lookAt(directory, 'f0'));
    for (const word of [WORD.mtimeNs, WORD.ctimeNs]) {
      const before = seenWords[word]!;
      seenWords[word] = 1e9;
      assert.is(seenNumbers(), undefined);
      seenWords[word] = before;
      assert.ok(seenNumbers());
    }
  } finally {
    closeSync(directory);
  }
});

test.run();
