import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createLocalDevices, createMounts, isRemote, parseMounts } from '../../../gateway/storage/posix/mounts.js';
import { tempDir } from '../../support/temp.js';

const line = (id: number, parent: number, device: string, point: string, type: string, tags = 'shared:1') =>
  `${id} ${parent} ${device} / ${point} rw,relatime ${tags ? `${tags} ` : ''}- ${type} source rw`;

const table = [
  line(20, 1, '8:1', '/', 'ext4'),
  line(21, 20, '0:5', '/proc', 'proc', ''),
  line(30, 20, '0:40', '/lustre', 'lustre', 'shared:1 master:2'),
  line(31, 30, '0:41', '/lustre/projects/a', 'nfs4'),
  line(32, 30, '0:42', '/lustre/with\\040space', 'fuse.glusterfs'),
  line(33, 20, '0:40', '/same', 'lustre'),
  // Mounted over: what was there before is not seen any more.
  line(40, 20, '0:50', '/over', 'xfs'),
  line(41, 40, '0:51', '/over/deep', 'nfs'),
  line(42, 40, '0:52', '/over', 'tmpfs'),
  line(43, 42, '0:53', '/over/deep/er', 'ceph'),
  'garbage',
].join('\n');

test('the filesystem of a path is that of the nearest mount above it that is not covered', () => {
  const mounts = createMounts(() => table);
  const at = (path: string) => mounts.own(path).key;
  assert.is(at('/home/x'), '8:1');
  assert.is(at('/lustre'), '0:40');
  assert.is(at('/lustres'), '8:1');
  assert.is(at('/lustre/projects/b'), '0:40');
  assert.is(at('/lustre/projects/a/b'), '0:41');
  assert.is(at('/lustre/with space/b'), '0:42');
  assert.is(at('/same/b'), at('/lustre/x'), 'one filesystem, mounted twice');
  assert.is(at('/over/x'), '0:52');
  assert.is(at('/over/deep'), '0:52');
  assert.is(at('/over/deep/er/x'), '0:53');
});

test('what is mounted below counts as well', () => {
  const mounts = createMounts(() => table);
  assert.equal(mounts.at('/lustre/projects'), { key: '0:40+0:41', types: ['lustre', 'nfs4'] });
  assert.equal(mounts.at('/lustre/projects/a'), { key: '0:41', types: ['nfs4'] });
  assert.equal(mounts.at('/over'), { key: '0:52+0:53', types: ['tmpfs', 'ceph'] });
  assert.is(mounts.at('/home').key, '8:1');
});

test('what is mounted later is seen; without a table all is one', () => {
  let text = table;
  const mounts = createMounts(() => text, 0);
  assert.is(mounts.at('/home/x').key, '8:1');
  text += `\n${line(60, 20, '0:60', '/home', 'nfs4')}`;
  assert.equal(mounts.at('/home/x'), { key: '0:60', types: ['nfs4'] });
  text = '';
  assert.is(mounts.at('/home/x').key, mounts.own('/').key);
  let reads = 0;
  const rarely = createMounts(() => {
    reads++;
    return table;
  });
  for (let i = 0; i < 100; i++) rarely.at(`/home/${i}`);
  assert.is(reads, 1);
});

test('the table of this machine says what stat says', () => {
  const mounts = createMounts();
  const device = (path: string) => {
    const { dev } = statSync(path);
    return `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
  };
  assert.is(mounts.own('/proc/self').key, device('/proc/self/'));
  assert.is(mounts.own('/dev/shm/x').key, device('/dev/shm'));
  if (process.getuid!() !== 0) return;
  const dir = tempDir();
  const [point, below] = [join(dir, 'a b\\c'), join(dir, 'a b\\c/d')];
  mkdirSync(point);
  execFileSync('mount', ['-t', 'tmpfs', 'none', point]);
  try {
    mkdirSync(below);
    execFileSync('mount', ['-t', 'tmpfs', 'none', below]);
    const fresh = createMounts();
    assert.equal(fresh.own(point), { key: device(point), types: ['tmpfs'] });
    assert.equal(fresh.at(point).key, [device(point), device(below)].join('+'));
    execFileSync('umount', [below]);
    assert.is(createMounts().at(point).key, device(point));
  } finally {
    execFileSync('umount', ['-R', point]);
  }
});

test('network filesystems are known by name', () => {
  for (const type of [
    'nfs',
    'nfs4',
    'lustre',
    'fuse.glusterfs',
    'fuse.sshfs',
    'fuse',
    'gpfs',
    'ceph',
    'cifs',
    'beegfs',
  ]) {
    assert.ok(isRemote(type), type);
  }
  for (const type of ['ext4', 'xfs', 'btrfs', 'zfs', 'tmpfs', 'overlay', 'fuseblk']) assert.not(isRemote(type), type);
  assert.is(parseMounts(table).length, 10);
});

test('a number tells a disk only where a disk is mounted under it', () => {
  const lustre = line(50, 20, '1234:56', '/lustre2', 'lustre');
  const isOfLocal = createLocalDevices(() => `${table}\n${lustre}`);
  const dev = (major: number, minor: number) => major * 0x100000 + minor;
  assert.ok(isOfLocal(dev(8, 1)));
  assert.ok(isOfLocal(dev(0, 52)), 'tmpfs');
  // The number of a client of Lustre is made of a hash.
  for (const other of [dev(1234, 56), dev(0, 40), dev(8, 2)]) assert.not.ok(isOfLocal(other));
});

test('what is mounted and unmounted later is noticed', () => {
  let text = table;
  const isOfLocal = createLocalDevices(() => text, 0);
  assert.not.ok(isOfLocal(8 * 0x100000 + 2));
  text = `${table}\n${line(60, 20, '8:2', '/data', 'xfs')}`;
  assert.ok(isOfLocal(8 * 0x100000 + 2));
  text = table;
  assert.not.ok(isOfLocal(8 * 0x100000 + 2));
});

test.run();
