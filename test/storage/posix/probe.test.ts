import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { probe } from '../../../gateway/storage/posix/probe.js';
import { tempDir } from '../../support/temp.js';

test('a local filesystem: what every Linux one has is found, and nothing is left behind', () => {
  const dir = tempDir();
  const found = probe(dir);
  assert.equal(readdirSync(dir), []);
  assert.is(found.directory, dir);
  assert.is(found.writable, true);
  assert.is(found.openat2, true);
  assert.is(found.hardLinks, true);
  assert.is(found.flock, true);
  assert.is(found.caseSensitive, true);
  assert.ok(found.space.totalBytes >= found.space.availableBytes && found.space.availableBytes > 0);
  assert.is(found.who.uid, process.geteuid!());
  assert.is(found.xattr.supported, found.xattr.maxBytes > 0);
  assert.ok(found.clock.granularityNs > 0 && found.clock.granularityNs <= 1e9);
  assert.ok(found.clock.mtimeStepNs >= 1);
});

test('tmpfs, where there is one: attributes of 64 KiB', () => {
  let dir: string;
  try {
    dir = mkdtempSync('/dev/shm/tidegate-probe-');
  } catch {
    return; // no such mount here; the local filesystem above was probed
  }
  try {
    const found = probe(dir);
    assert.is(found.filesystem, 'tmpfs');
    assert.is(found.renameNoReplace, true);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('a directory that cannot be written is told, with the reason', () => {
  const found = probe('/proc');
  assert.is(found.writable, false);
  assert.type(found.reason, 'string');
  assert.is(found.xattr.supported, false);
});

test('a directory that is not there: the errno', () => {
  let code: unknown;
  try {
    probe(join(tempDir(), 'none'));
  } catch (error) {
    code = (error as { code: string }).code;
  }
  assert.is(code, 'ENOENT');
});

test.run();
