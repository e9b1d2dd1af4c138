// timeout: 180
/**
 * A gateway that hears of changes from Lustre's changelog alone, through a stand-in for `lfs`: no watch, no scan. The
 * filesystem is a mount of its own, as Lustre would be.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isRoot } from '../support/people.js';
import { mustRun } from '../support/programs.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { md5, openTwoDoors, type TwoDoors, told } from '../support/two-doors.js';
import { type Lustre, lfs, lustre, MDT0 } from '../sync/lustre.js';

const changelog = suite('a gateway that reads the changelog');
const test = isRoot ? changelog : changelog.skip;

let fs: Lustre;
let world: TwoDoors;
/** The bucket's directory below the mount. */
let at: string;

changelog.before(async () => {
  if (!isRoot) return;
  fs = lustre();
  await mustRun('mount', ['-t', 'tmpfs', 'tidegate-lustre', fs.mount]);
  const bin = tempDir();
  writeFileSync(join(bin, 'lfs'), `#!/bin/sh\nexec ${lfs.join(' ')} "$@"\n`, { mode: 0o755 });
  mkdirSync(join(fs.mount, 'root'), { mode: 0o755 });
  symlinkSync('/nowhere', join(fs.mount, 'dangling'));
  world = await openTwoDoors({
    root: join(fs.mount, 'root'),
    env: { PATH: `${bin}${delimiter}${process.env['PATH']}`, LFS_STANDIN: process.env['LFS_STANDIN'] },
    flags: ['--sync-watch', 'off', '--sync-quick-scan', 'never', '--sync-scan', 'never', '--changelog', `${MDT0}:cl1`],
  });
  at = relative(fs.mount, world.file(''));
});
changelog.after(async () => {
  try {
    await world?.end();
  } finally {
    if (fs) await mustRun('umount', ['-l', fs.mount]);
  }
});

const events = async (count: number) => (await world.eventsAfter(count)).map(told);

test('what the records name is looked at, hashed and told; records are cleared when that is durable', async () => {
  fs.mkdir(`${at}/run`);
  fs.write(`${at}/run/out.nc`, 'result');
  assert.equal(await events(1), ['filesystem Created:Put run/out.nc']);
  const { client, bucket: Bucket } = world;
  const head = () => client.send(new s3.HeadObjectCommand({ Bucket, Key: 'run/out.nc' }));
  assert.is((await head()).ETag, `"${md5('result')}"`);
  fs.write(`${at}/run/out.nc`, 'another');
  await events(2);
  assert.is((await head()).ETag, `"${md5('another')}"`);
  fs.rename(`${at}/run`, `${at}/done`);
  await world.put('from/s3', 'x');
  assert.equal((await events(5)).slice(2).sort(), [
    'filesystem Created:Put done/out.nc from run/out.nc',
    'filesystem Removed:Delete run/out.nc',
    's3 Created:Put from/s3',
  ]);
  await until('the records are cleared', 15_000, () => fs.cleared() === fs.last() || undefined);
});

test('records of the time when the gateway was down are read at its start', async () => {
  const before = world.events().length;
  await world.restart('kill9', () => {
    fs.write(`${at}/late`, 'written meanwhile');
    fs.unlink(`${at}/done/out.nc`);
  });
  assert.equal((await events(before + 2)).slice(before).sort(), [
    'filesystem Created:Put late',
    'filesystem Removed:Delete done/out.nc',
  ]);
  await until('the records are cleared', 15_000, () => fs.cleared() === fs.last() || undefined);
});

changelog.run();
