/** A directory of many names, read in stretches: no page loses a key, nor shows one twice. */
import { closeSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SETTLED_MS } from '../../../gateway/storage/posix/clock.js';
import { listObjects } from '../../../gateway/storage/posix/list-ops.js';
import { type Ground, prepareBucket } from '../../../gateway/storage/posix/paths.js';
import { tempDir } from '../../support/temp.js';

const test = suite('a large directory');

let seed = 4711;
const random = (below: number): number => (seed = (seed * 48_271) % 0x7fffffff) % below;

const alphabet = ['a', 'b', 'B', '!', '-', '.', '0', '9', '~', 'é', '日', '😀'];
const randomName = (): string =>
  (random(2) ? '' : 'run-2024-11-') + Array.from({ length: 3 + random(6) }, () => alphabet[random(12)]).join('');

const bytes = (key: string): string => Buffer.from(key).toString('latin1');
const byBytes = (a: string, b: string): number => (bytes(a) < bytes(b) ? -1 : 1);

/** More than are sorted as a whole at the first look. */
const count = 10_000;

/** A bucket with so many keys: files, and some directories that hold one file each. */
function largeBucket(): { ground: Ground; keys: Set<string>; file(key: string): string; fresh(): string } {
  const path = mkdtempSync(join(tempDir(), 'bucket-'));
  const ground: Ground = { path, durability: 'none', sidecars: false, fileMode: 0o644, directoryMode: 0o755 };
  prepareBucket(ground);
  const file = (key: string) => join(path, key);
  const names = new Set<string>(['.', '..', '.tidegate']);
  const fresh = (): string => {
    for (;;) {
      const name = randomName();
      if (names.has(name)) continue;
      names.add(name);
      return name;
    }
  };
  const keys = new Set<string>();
  for (let i = 0; i < count; i++) {
    const name = fresh();
    if (i % 50 === 0) mkdirSync(file(name));
    const key = i % 50 === 0 ? `${name}/x` : name;
    closeSync(openSync(file(key), 'w'));
    keys.add(key);
  }
  return { ground, keys, file, fresh };
}

const list = (ground: Ground, after: string, limit: number, delimiter = '', prefix = '') => {
  const { objects, prefixes, next } = listObjects(ground, { prefix, delimiter, after, limit });
  return { keys: [...objects.map(({ key }) => key), ...prefixes].sort(byBytes), next };
};

const grouped = (key: string): string => (key.includes('/') ? key.slice(0, key.indexOf('/') + 1) : key);

test('every page, from any point on, as a plain sort has it', async () => {
  const { ground, keys } = largeBucket();
  const plain = [...keys].sort(byBytes);
  const shallow = plain.map(grouped);
  const look = () => {
    for (let i = 0; i < 40; i++) {
      const [all, delimiter] = i % 2 ? [shallow, '/'] : [plain, ''];
      // Keys that are there, and such as are not.
      const after = i % 3 === 0 ? '' : i % 3 === 1 ? all[random(count)]! : randomName();
      const limit = [1, 2, 7, 100, 999, 1000][random(6)]!;
      const from = all.findIndex((key) => bytes(key) > bytes(after) && !(delimiter && after.startsWith(`${key}`)));
      const expected = from < 0 ? [] : all.slice(from, from + limit);
      const page = list(ground, after, limit, delimiter);
      assert.equal(page.keys, expected, JSON.stringify([after, limit, delimiter]));
      assert.is(page.next, from >= 0 && from + limit < count ? expected.at(-1) : undefined);
    }
    for (const limit of [1000, 333]) {
      const found: string[] = [];
      for (let after: string | undefined = ''; after !== undefined; ) {
        const page = list(ground, after, limit);
        found.push(...page.keys);
        after = page.next;
      }
      assert.equal(found, plain);
    }
    const prefixed = plain.filter((key) => key.startsWith('run-2024-11-日'));
    assert.equal(list(ground, '', 1000, '', 'run-2024-11-日').keys, prefixed.slice(0, 1000));
  };
  look();
  // Once more with what is remembered of a directory that has settled.
  await sleep(SETTLED_MS + 100);
  look();
});

test('while jobs make, rename and delete files, what is there all the time comes once, and in order', async () => {
  const { ground, keys, file, fresh } = largeBucket();
  for (const pause of [0, 40]) {
    await sleep(pause === 0 ? 0 : SETTLED_MS + 100);
    const ever = new Set(keys);
    const always = new Set(keys);
    const found: string[] = [];
    let pages = 0;
    for (let after: string | undefined = ''; after !== undefined; pages++) {
      const page = list(ground, after, 900);
      found.push(...page.keys);
      after = page.next;
      if (pages % 3 === 2) continue;
      const there = [...keys];
      for (let i = 0; i < 20; i++) {
        const key = there[random(there.length)]!;
        if (key.includes('/') || !keys.has(key)) continue;
        const name = fresh();
        if (i % 3 === 0) writeFileSync(file(name), '');
        else {
          if (i % 3 === 1) renameSync(file(key), file(name));
          else unlinkSync(file(key));
          keys.delete(key);
          always.delete(key);
        }
        if (i % 3 === 2) continue;
        keys.add(name);
        ever.add(name);
      }
      await sleep(pause);
    }
    assert.ok(pages > 10);
    for (let i = 1; i < found.length; i++) assert.ok(bytes(found[i - 1]!) < bytes(found[i]!), found[i]);
    const seen = new Set(found);
    assert.equal(
      [...always].filter((key) => !seen.has(key)),
      [],
    );
    assert.equal(
      found.filter((key) => !ever.has(key)),
      [],
    );
  }
  rmSync(ground.path, { recursive: true });
});

test.run();
