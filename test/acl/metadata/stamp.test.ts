import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { believe, judge, type Stamp, syntheticEtag } from '../../../acl/metadata/stamp.js';
import type { ObjectMeta } from '../../../acl/metadata/types.js';

const stamps = suite('metadata stamp');

const stamp: Stamp = { size: 5, mtimeNs: 1000n, ino: 7n, bound: 2000n };
const stat = { size: 5, mtimeNs: 1000n, ino: 7n, ctimeNs: 2000n };
const meta: ObjectMeta = {
  etag: '5d41402abc4b2a76b9719d911017c592',
  headers: { contentType: 'text/plain' },
  user: { a: 'b' },
  tags: { t: '1' },
  owner: 'me',
  acl: '[1,"me"]',
  checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT', value: 'AAAAAA==' },
  parts: [{ number: 1, size: 5 }],
  uploadId: 'u',
};

stamps('the content that was stamped keeps everything', () => {
  assert.is(judge(stamp, stat), 'whole');
  assert.is(believe(meta, stamp, stat), meta);
  assert.is(believe(meta, stamp, { ...stat, ctimeNs: 1n }), meta);
});

stamps('a later ctime costs what speaks of the bytes', () => {
  const later = { ...stat, ctimeNs: 2001n };
  assert.is(judge(stamp, later), 'suspect');
  const { headers, user, tags, owner, acl } = meta;
  assert.equal(believe(meta, stamp, later), { etag: syntheticEtag(later), headers, user, tags, owner, acl });
});

stamps('other content costs everything but tags, owner and ACL', () => {
  for (const other of [
    { ...stat, size: 6 },
    { ...stat, mtimeNs: 1001n },
    { ...stat, mtimeNs: 999n },
  ]) {
    assert.is(judge(stamp, other), 'changed');
    assert.equal(believe(meta, stamp, other), {
      etag: syntheticEtag(other),
      headers: {},
      user: {},
      tags: { t: '1' },
      owner: 'me',
      acl: '[1,"me"]',
    });
  }
});

stamps('a copy inherits nothing', () => {
  const copy = { ...stat, ino: 8n };
  assert.is(judge(stamp, copy), 'foreign');
  const bare = { etag: syntheticEtag(copy), headers: {}, user: {} };
  assert.equal(believe(meta, stamp, copy), bare);
  assert.equal(believe(meta, undefined, copy), bare);
  assert.equal(believe(undefined, stamp, copy), bare);
});

stamps('an unknown ETag is synthesised, the rest believed', () => {
  assert.equal(believe({ ...meta, etag: '' }, stamp, stat).user, { a: 'b' });
  assert.is(believe({ ...meta, etag: '' }, stamp, stat).etag, syntheticEtag(stat));
});

stamps('a synthetic ETag is no MD5, changes with each field, and is unique while the clock may stand still', () => {
  const base = syntheticEtag(stat);
  assert.match(base, /^[0-9a-f]{32}-0$/);
  assert.is(syntheticEtag({ ...stat }), base);
  for (const other of [
    { ...stat, size: 6 },
    { ...stat, mtimeNs: 1n },
    { ...stat, ctimeNs: 1n },
    { ...stat, ino: 1n },
  ]) {
    assert.is.not(syntheticEtag(other), base);
  }
  assert.is.not(syntheticEtag(stat, true), syntheticEtag(stat, true));
});

stamps.run();
