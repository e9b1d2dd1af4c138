// timeout: 240
/** Buckets with `actAs: requester`: each user writes as himself, and nobody gets at what another has underway. Needs root. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { startGateway } from '../support/gateway.js';
import { isRoot, type Person, startTown, type Town } from '../support/people.js';
import { fails } from '../support/sdk.js';
import { until } from '../support/time.js';

const test = suite('requesters');
const asRoot = isRoot ? test : test.skip;
const shared = 60300;
let anna: Person;
let bert: Person;
let carl: Person;
const towns: Town[] = [];

for (const [kind, flags] of [
  ['attributes', []],
  ['sidecars', ['--metadata', 'sidecar']],
] as const) {
  let town: Town;
  const Bucket = `all-${kind}`;
  let path = '';
  asRoot(`${kind}: begin`, async () => {
    town = await startTown([...flags, '--log-level', 'warn']);
    anna = await town.person('anna', 60101, 60101, [60101, shared]);
    bert = await town.person('bert', 60102, 60102, [60102, shared]);
    carl = await town.person('carl', 60103, 60103);
    towns.push(town);
    path = await town.bucket(Bucket, anna, 'requester', [bert, carl]);
    chownSync(path, anna.uid, shared);
    chmodSync(path, 0o775);
  });

  const own = (...names: string[]) => join(path, '.tidegate', ...names);
  const home = (who: Person) => own('requesters', `${who.uid}`);
  /** Files that are on their way, of everybody. */
  const underWay = () =>
    [anna, bert, carl].flatMap((who) =>
      ['staging', 'uploads'].flatMap((area) => {
        const dir = who === anna ? own(area) : join(home(who), area);
        return existsSync(dir) ? readdirSync(dir) : [];
      }),
    );
  /** The sync engine's threads, too, make a file in `staging` to look at its times, and take its name away at once. */
  const nothingUnderWay = () => until('nothing under way', 20_000, () => underWay().length === 0 || undefined);
  /** When somebody has spoilt what the gateway made: milliseconds since the epoch. */
  let spoilt = [0, 0];
  /** What the gateway has told, but for what was spoilt on purpose: at whatever moment it reaps, it says so. */
  const log = () =>
    town.gateway
      .output()
      .split('\n')
      .filter((line) => {
        if (!line.startsWith('{')) return true;
        const { time, msg } = JSON.parse(line);
        const at = new Date(time).getTime();
        return msg !== 'staged files could not be reaped' || at < spoilt[0]! || at > spoilt[1]!;
      })
      .join('\n');
  const put = (who: Person, Key: string, Body: string | Buffer = 'x', more: object = {}) =>
    who.client.send(new s3.PutObjectCommand({ Bucket, Key, Body, ...more }));
  const get = async (who: Person, Key: string) =>
    (await who.client.send(new s3.GetObjectCommand({ Bucket, Key }))).Body!.transformToString();
  const ownerOf = (key: string) => {
    const { uid, gid } = statSync(join(path, key));
    return `${uid}:${gid}`;
  };
  const large = Buffer.alloc(700_000, 'large ');

  asRoot(`${kind}: every way of writing makes files of the one who writes`, async () => {
    await put(bert, 'small', 'small');
    await put(bert, 'large', large);
    await put(bert, 'd/e/f', 'deep');
    await bert.client.send(new s3.CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/large` }));
    for (const count of [1, 2]) {
      const at = { Bucket, Key: `parts${count}` };
      const { UploadId } = await bert.client.send(new s3.CreateMultipartUploadCommand(at));
      const Parts = [];
      for (let PartNumber = 1; PartNumber <= count; PartNumber++) {
        const Body = Buffer.alloc(5 << 20, PartNumber);
        const { ETag } = await bert.client.send(new s3.UploadPartCommand({ ...at, UploadId, PartNumber, Body }));
        Parts.push({ PartNumber, ETag });
      }
      const done = { ...at, UploadId, MultipartUpload: { Parts } };
      await bert.client.send(new s3.CompleteMultipartUploadCommand(done));
    }
    await put(bert, 'marker/', '');
    for (const key of ['small', 'large', 'd', 'd/e', 'd/e/f', 'copy', 'parts1', 'parts2', 'marker'])
      assert.is(ownerOf(key), `${bert.uid}:${bert.gid}`, key);
    assert.is(await get(anna, 'copy'), String(large));
    await bert.client.send(
      new s3.PutObjectTaggingCommand({ Bucket, Key: 'small', Tagging: { TagSet: [{ Key: 'a', Value: 'b' }] } }),
    );
    const tags = await anna.client.send(new s3.GetObjectTaggingCommand({ Bucket, Key: 'small' }));
    assert.equal(tags.TagSet, [{ Key: 'a', Value: 'b' }]);
    // Of his own, the ACL; of what is another's, nothing that is stored with the file.
    const acl = (who: Person, ACL: s3.ObjectCannedACL) =>
      who.client.send(new s3.PutObjectAclCommand({ Bucket, Key: 'large', ACL }));
    await town.tidegate('role', 'grant', Bucket, '--account', 'bert', '--role', 'maintainer');
    await town.tidegate('role', 'grant', Bucket, '--account', 'carl', '--role', 'maintainer');
    await acl(bert, 'public-read');
    assert.is((await fetch(`${town.gateway.endpoint}/${Bucket}/large`)).status, 200);
    await fails(acl(carl, 'private'), 'AccessDenied', 403);
    assert.is((await fetch(`${town.gateway.endpoint}/${Bucket}/large`)).status, 200);
    await bert.client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'd/e/f' }));
    assert.is(existsSync(join(path, 'd')), false);
    await nothingUnderWay();
    // The owner writes beside him, in the areas that the bucket always had.
    await put(anna, 'of-anna');
    assert.is(ownerOf('of-anna'), `${anna.uid}:${anna.gid}`);
  });

  asRoot(`${kind}: without the right to write a directory nothing is written, and nothing is left`, async () => {
    // Carl is not in the group.
    for (const Body of ['x', large]) await fails(put(carl, 'refused', Body), 'AccessDenied', 403);
    await fails(put(carl, 'new/dir/x'), 'AccessDenied', 403);
    await fails(carl.client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'small' })), 'AccessDenied', 403);
    const Tagging = { TagSet: [{ Key: 'c', Value: 'd' }] };
    const tag = new s3.PutObjectTaggingCommand({ Bucket, Key: 'small', Tagging });
    await fails(carl.client.send(tag), 'AccessDenied', 403);
    const at = { Bucket, Key: 'parts-refused' };
    const { UploadId } = await carl.client.send(new s3.CreateMultipartUploadCommand(at));
    const part = { ...at, UploadId, PartNumber: 1 };
    const { ETag } = await carl.client.send(new s3.UploadPartCommand({ ...part, Body: 'x' }));
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
    const complete = new s3.CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload });
    await fails(carl.client.send(complete), 'AccessDenied', 403);
    // It is still there, to be completed elsewhere never and aborted now.
    await carl.client.send(new s3.AbortMultipartUploadCommand({ ...at, UploadId }));
    await nothingUnderWay();
    assert.equal(
      readdirSync(path).filter((name) => /refused|new/.test(name)),
      [],
    );
    const tags = await anna.client.send(new s3.GetObjectTaggingCommand({ Bucket, Key: 'small' }));
    assert.equal(tags.TagSet, [{ Key: 'a', Value: 'b' }]);
  });

  asRoot(`${kind}: a sticky directory keeps everybody's files his own`, async () => {
    mkdirSync(join(path, 'sticky'));
    chownSync(join(path, 'sticky'), anna.uid, anna.gid);
    chmodSync(join(path, 'sticky'), 0o1777);
    await put(bert, 'sticky/b', 'of bert');
    await fails(put(carl, 'sticky/b', 'of carl'), 'AccessDenied', 403);
    await fails(put(carl, 'sticky/b', large), 'AccessDenied', 403);
    await fails(carl.client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'sticky/b' })), 'AccessDenied', 403);
    assert.is(await get(carl, 'sticky/b'), 'of bert');
    await put(carl, 'sticky/c');
    await put(bert, 'sticky/b', 'again');
    assert.equal(
      [ownerOf('sticky/b'), ownerOf('sticky/c')],
      [bert, carl].map(({ uid, gid }) => `${uid}:${gid}`),
    );
    await nothingUnderWay();
  });

  asRoot(`${kind}: metadata too large for an attribute, and bodies of directories, as the object itself`, async () => {
    const Metadata = { large: 'x'.repeat(1_800), second: 'y'.repeat(150) };
    const TagSet = Array.from({ length: 10 }, (_, i) => ({ Key: `${i}`.repeat(100), Value: 'v'.repeat(250) }));
    const Tagging = TagSet.map(({ Key, Value }) => `${Key}=${Value}`).join('&');
    await put(bert, 'meta', 'content', { Metadata, Tagging });
    for (const who of [anna, bert, carl]) {
      const head = await who.client.send(new s3.HeadObjectCommand({ Bucket, Key: 'meta' }));
      assert.equal(head.Metadata, Metadata);
      assert.not.match(head.ETag!, /-/);
    }
    assert.ok(readdirSync(own('meta')).some((name) => statSync(own('meta', name)).uid === bert.uid));
    chmodSync(join(path, 'meta'), 0o600);
    await fails(get(carl, 'meta'), 'AccessDenied', 403);
    const head = carl.client.send(new s3.HeadObjectCommand({ Bucket, Key: 'meta' }));
    assert.is(await head.catch((error: s3.S3ServiceException) => error.$metadata.httpStatusCode), 403);
    await put(bert, 'full/', 'body of a directory');
    for (const who of [anna, carl]) assert.is(await get(who, 'full/'), 'body of a directory');
    const [body] = readdirSync(own('bodies'));
    assert.is(statSync(own('bodies', body!)).uid, bert.uid);
    chmodSync(own('bodies', body!), 0o600);
    await fails(get(carl, 'full/'), 'AccessDenied', 403);
    for (const Key of ['meta', 'full/']) await bert.client.send(new s3.DeleteObjectCommand({ Bucket, Key }));
    assert.equal(readdirSync(own('bodies')), []);
    // The sync engine looks at what was changed, and may be at it just now.
    const gone = () => readdirSync(own('meta')).length === 0 || undefined;
    if (kind === 'attributes') await until('no metadata without an object', 20_000, gone);
  });

  asRoot(`${kind}: uploads are of those who began them; the owner sees all, and may abort them`, async () => {
    const at = { Bucket, Key: 'pending' };
    const { UploadId } = await bert.client.send(new s3.CreateMultipartUploadCommand(at));
    await bert.client.send(new s3.UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: 'part' }));
    assert.is(statSync(join(home(bert), 'uploads', UploadId!, 'part.00001')).uid, bert.uid);
    const list = async (who: Person) =>
      ((await who.client.send(new s3.ListMultipartUploadsCommand({ Bucket }))).Uploads ?? []).map(
        (each) => each.UploadId,
      );
    assert.equal([await list(anna), await list(bert), await list(carl)], [[UploadId], [UploadId], []]);
    const parts = await anna.client.send(new s3.ListPartsCommand({ ...at, UploadId }));
    assert.equal(
      parts.Parts?.map(({ Size }) => Size),
      [4],
    );
    const [part, abort] = [
      { ...at, UploadId, PartNumber: 2, Body: 'y' },
      { ...at, UploadId },
    ];
    await fails(carl.client.send(new s3.UploadPartCommand(part)), 'NoSuchUpload', 404);
    await fails(carl.client.send(new s3.AbortMultipartUploadCommand(abort)), 'NoSuchUpload', 404);
    await anna.client.send(new s3.AbortMultipartUploadCommand(abort));
    assert.equal(await list(bert), []);
    await nothingUnderWay();
  });

  asRoot(`${kind}: no user enters what is another's, and what was put in its place is not used`, async () => {
    const as = (who: Person, ...command: string[]) =>
      spawnSync('setpriv', [`--reuid=${who.uid}`, `--regid=${who.gid}`, '--clear-groups', ...command]).status;
    const at = { Bucket, Key: 'secret' };
    const { UploadId } = await bert.client.send(new s3.CreateMultipartUploadCommand(at));
    await bert.client.send(new s3.UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: 'secret' }));
    const file = join(home(bert), 'uploads', UploadId!, 'part.00001');
    for (const who of [anna, carl]) {
      assert.is.not(as(who, 'cat', file), 0);
      assert.is.not(as(who, 'rm', '-rf', home(bert)), 0);
      assert.is.not(as(who, 'mv', home(bert), `${home(bert)}.moved`), 0);
      assert.is.not(as(who, 'ln', '-s', '/tmp', own('requesters', '60199')), 0);
    }
    assert.ok(existsSync(file));
    await bert.client.send(new s3.AbortMultipartUploadCommand({ ...at, UploadId }));

    // All that the owner of the bucket can do: exchange what the gateway made for something of hers.
    const trap = join(path, '..', 'trap');
    spoilt = [Date.now(), Number.POSITIVE_INFINITY];
    mkdirSync(trap);
    chmodSync(trap, 0o777);
    const plant = (make: () => void) => {
      renameSync(own('requesters'), own('kept'));
      make();
    };
    const restore = () => {
      rmSync(own('requesters'), { recursive: true, force: true });
      renameSync(own('kept'), own('requesters'));
    };
    const hers = () => {
      for (const dir of [own('requesters'), home(bert), join(home(bert), 'staging')]) {
        mkdirSync(dir);
        chownSync(dir, anna.uid, anna.gid);
        chmodSync(dir, 0o777);
      }
    };
    for (const make of [() => symlinkSync(trap, own('requesters')), hers]) {
      plant(make);
      await fails(put(bert, 'trapped', large), 'ServiceUnavailable', 503);
      await fails(put(bert, 'trapped'), 'ServiceUnavailable', 503);
      if (make === hers) assert.equal(readdirSync(join(home(bert), 'staging')), []);
      restore();
    }
    assert.equal(readdirSync(trap), []);
    // Where she takes all of it away, it is made again. At once: the gateway goes on to make files in it.
    renameSync(own(), `${path}.taken`);
    rmSync(`${path}.taken`, { recursive: true });
    await put(bert, 'again', large);
    assert.equal([statSync(own()).uid, statSync(own()).mode & 0o777], [anna.uid, 0o700]);
    assert.equal([statSync(home(bert)).uid, statSync(home(bert)).mode & 0o777], [bert.uid, 0o700]);
    spoilt[1] = Date.now();
  });

  asRoot(
    `${kind}: a directory that was not given away yet, by another thread or before a crash, is given away`,
    async () => {
      for (const body of ['x', large]) {
        await nothingUnderWay();
        rmSync(home(carl), { recursive: true, force: true });
        mkdirSync(home(carl), { mode: 0o700 });
        await put(carl, 'sticky/of-carl', body);
        assert.equal([statSync(home(carl)).uid, statSync(home(carl)).gid], [carl.uid, carl.gid]);
      }
      await carl.client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'sticky/of-carl' }));
      // Of root's own, which was never made to be given away.
      spoilt = [Date.now(), Number.POSITIVE_INFINITY];
      for (const foreign of ['content', 'open']) {
        await nothingUnderWay();
        rmSync(home(carl), { recursive: true, force: true });
        mkdirSync(home(carl), { mode: 0o700 });
        if (foreign === 'content') writeFileSync(join(home(carl), 'kept'), 'secret');
        else chmodSync(home(carl), 0o755);
        await fails(put(carl, 'sticky/of-carl', 'x'), 'ServiceUnavailable', 503);
        assert.is(statSync(home(carl)).uid, 0, foreign);
      }
      rmSync(home(carl), { recursive: true, force: true });
      spoilt[1] = Date.now();
    },
  );

  asRoot(`${kind}: what a crash has left is reaped, whosever it is`, async () => {
    const garbage = join(home(bert), 'staging', 'b'.repeat(32));
    writeFileSync(garbage, 'x');
    chownSync(garbage, bert.uid, bert.gid);
    utimesSync(garbage, 1, 1);
    await sleep(1_100);
    const { root } = town.gateway;
    const second = await startGateway({ root, key: town.gateway, flags: [...flags, '--staging-age', '1s'] });
    // Once at the start, and once more after a while.
    await until('reaping', 40_000, () => (existsSync(garbage) ? undefined : true));
    assert.is(await second.stop(), 0);
  });

  asRoot(`${kind}: back to the owner's bucket, and again: nothing is lost`, async () => {
    const Metadata = { large: 'x'.repeat(1_900) };
    const Tagging = Array.from({ length: 10 }, (_, i) => `${`${i}`.repeat(100)}=${'v'.repeat(250)}`).join('&');
    await put(bert, 'kept', 'of bert', { Metadata, Tagging });
    const { UploadId } = await bert.client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key: 'left' }));
    await town.tidegate('bucket', 'set', Bucket, '--act-as', 'owner');
    const head = await carl.client.send(new s3.HeadObjectCommand({ Bucket, Key: 'kept' }));
    assert.equal(head.Metadata, Metadata);
    await put(bert, 'now', 'of anna', { Metadata, Tagging });
    assert.is(ownerOf('now'), `${anna.uid}:${anna.gid}`);
    await anna.client.send(new s3.AbortMultipartUploadCommand({ Bucket, Key: 'left', UploadId }));
    await town.tidegate('bucket', 'set', Bucket, '--act-as', 'requester');
    for (const Key of ['now', 'kept']) {
      const again = await carl.client.send(new s3.HeadObjectCommand({ Bucket, Key }));
      assert.equal(again.Metadata, Metadata, Key);
    }
    await put(bert, 'kept', 'of bert again');
    await nothingUnderWay();
  });

  asRoot(`${kind}: a bucket in which others have worked can be deleted`, async () => {
    // What the kernel leaves to him alone.
    await bert.client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'marker/' }));
    const pages = await anna.client.send(new s3.ListObjectsV2Command({ Bucket }));
    for (const { Key } of pages.Contents ?? [])
      await anna.client.send(new s3.DeleteObjectCommand({ Bucket, Key: Key! }));
    rmSync(join(path, 'sticky'), { recursive: true, force: true });
    await anna.client.send(new s3.DeleteBucketCommand({ Bucket }));
    assert.is(existsSync(path), false);
    assert.not.match(log(), /InternalError|could not be reaped/);
    assert.is(await towns.pop()!.close(), 0);
  });
}

test.after(async () => {
  await Promise.all(towns.map((town) => town.close()));
});

test.run();
