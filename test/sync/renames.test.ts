/** What a rename counts as, however many looks miss the old name, and whichever name is looked at first. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Catalog } from '../../sync/catalog.js';
import { createRenames } from '../../sync/renames.js';
import { noCounts } from '../../sync/runs.js';
import type { Entry } from '../../sync/types.js';

const entry: Entry = { size: 9, mtimeNs: 5n, ctimeNs: 6n, ino: 42n, etag: 'e', write: '' };
const file = { size: 9, mtimeNs: 5n, ctimeNs: 7n, ino: 42n };
/** A catalog of the one file. */
const knowing = (known: boolean) =>
  ({ keysOf: () => (known ? ['old'] : []), get: () => (known ? entry : undefined) }) as unknown as Catalog;
const open = (known: boolean) =>
  createRenames({
    catalog: knowing(known),
    inside: () => ({ finding: { kind: 'vanished' } }) as never,
    lookAgain: () => {},
  });

test('missed by two looks, then found: neither has a deletion', () => {
  const [one, other] = [noCounts(), noCounts()];
  const renames = open(false);
  one.deleted++;
  renames.departed('old', entry, one);
  renames.missedToo('old', other);
  assert.equal([one.deleted, other.deleted], [1, 1], 'until it turns up');
  const former = renames.former(file);
  assert.is(former?.key, 'old');
  former?.done();
  assert.equal([one.deleted, other.deleted], [0, 0]);
  renames.missedToo('old', other);
  assert.is(other.deleted, 0, 'nor one that comes later');
});

test('found, then missed by two looks: neither has a deletion', () => {
  const [one, other] = [noCounts(), noCounts()];
  const renames = open(true);
  renames.former(file)?.done();
  assert.ok(renames.isMoved('old'));
  renames.departed('old', entry, one);
  renames.missedToo('old', other);
  assert.equal([one.deleted, other.deleted], [0, 0]);
});

test('a key that went for good is a deletion of each look that missed it', () => {
  const [one, other] = [noCounts(), noCounts()];
  const renames = open(false);
  one.deleted++;
  renames.departed('old', entry, one);
  renames.missedToo('old', other);
  assert.equal([one.deleted, other.deleted], [1, 1]);
});

test.run();
