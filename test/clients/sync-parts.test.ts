// timeout: 240
/** Syncs that do less than everything, and buckets in which only syncs show what jobs did: what is left is found later. */
import { rmSync, writeFileSync } from 'node:fs';
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { command } from '../support/gateway.js';
import { until } from '../support/time.js';
import { md5, openTwoDoors, told } from '../support/two-doors.js';

const test = suite('partial syncs');

for (const [what, call, deleted] of [
  ['a dry run', { query: '&dry-run' }, '3'],
  ['a dry run of a prefix', { query: '&dry-run&prefix=d/e/' }, '1'],
  ['one without DELETE', { ops: 'WRITE,UPDATE' }, '0'],
] as const) {
  test(`directories that have gone before ${what} are told by the next sync`, async () => {
    const world = await openTwoDoors({ flags: ['--sync-watch', 'off'] });
    try {
      for (const key of ['d/a', 'd/b', 'd/e/f', 'g']) world.write(key, key);
      await world.sync();
      rmSync(world.file('d'), { recursive: true });
      assert.is((await world.sync(call)).Deleted, deleted);
      assert.is(world.events().length, 4);
      assert.is((await world.sync()).Deleted, '3');
      assert.equal(
        world.events().slice(4).map(told).sort(),
        ['d/a', 'd/b', 'd/e/f'].map((key) => `filesystem Removed:Delete ${key}`),
      );
      assert.equal(world.state().totals?.objects, 1);
    } finally {
      await world.end();
    }
  });
}

test('in a bucket with visibility synced a sync publishes, and takes back what is gone', async () => {
  const world = await openTwoDoors();
  const { bucket: Bucket } = world;
  const listed = async () =>
    (await world.client.send(new ListObjectsV2Command({ Bucket }))).Contents?.map(({ Key, ETag }) => [Key, ETag]) ?? [];
  try {
    await command('tidegate', ['bucket', 'set', Bucket, '--visibility', 'synced'], world.gateway.root);
    const since = world.state().leader?.since;
    await until('the bucket led anew', 10_000, () => world.state().leader?.since !== since || undefined);
    for (const key of ['d/a', 'd/e/f', 'g']) world.write(key, key);
    assert.equal(await listed(), []);
    const first = await world.sync();
    assert.equal([first['Added'], first['Errors']], ['3', '0']);
    const tags = ['d/a', 'd/e/f', 'g'].map((key) => [key, `"${md5(key)}"`]);
    assert.equal(await listed(), tags);

    writeFileSync(world.file('g'), 'other');
    rmSync(world.file('d'), { recursive: true });
    world.write('h', 'unseen');
    // A new leader looks at everything when it begins, and nothing of that is told.
    await world.restart('stop');
    await world.scanned();
    await until('the first scan', 10_000, async () => {
      const { leader, lastFullScan = '' } = world.state();
      return (leader && lastFullScan > leader.since) || undefined;
    });
    assert.is(world.events().length, 3);
    const second = await world.sync();
    assert.equal([second['Added'], second['Updated'], second['Deleted']], ['1', '1', '2']);
    assert.equal(world.events().slice(3).map(told).sort(), [
      'filesystem Created:Put g',
      'filesystem Created:Put h',
      'filesystem Removed:Delete d/a',
      'filesystem Removed:Delete d/e/f',
    ]);
    const { Body, ETag } = await world.client.send(new GetObjectCommand({ Bucket, Key: 'h' }));
    assert.equal([await Body!.transformToString(), ETag], ['unseen', `"${md5('unseen')}"`]);
  } finally {
    await world.end();
  }
});

test.run();
