/** What an upload has of the directory that it goes to: the same as a file that its user makes there, says the kernel. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packActAs } from '../../../acl/act-as.js';
import type { Actor, Place, Storage } from '../../../gateway/storage/types.js';
import { md5, newUpload, noise, put, putPart, request } from '../../suites/storage-tools.js';
import { haveProgram } from '../../support/programs.js';
import { openBench } from './store.js';

const test = suite('inherited permissions');
const able = process.geteuid?.() === 0 && haveProgram('setfacl') && haveProgram('setpriv');
const asRoot = able ? test : test.skip;
const withChattr = haveProgram('chattr') ? asRoot : test.skip;

const writer: Actor = { uid: 60201, gid: 60201, groups: [60201, 60300] };
const guest: Actor = { uid: 60202, gid: 60202, groups: [60202] };
const [project, foreign] = [60300, 60999];

let storage: Storage;
let at: Place;
let path = '';
test.before(async () => {
  if (!able) return;
  const bench = await openBench();
  ({ storage } = bench);
  chmodSync(bench.root, 0o755);
  const bucket = await storage.createBucket({ name: 'inherits', owner: 'someone' }, writer);
  at = { bucket, actor: writer };
  path = bucket.path;
});
test.after(() => storage?.close());

/** Makes a file and a directory with the permissions of uploads, as `actor`, without us. */
function native({ uid, gid, groups }: Actor, directory: string): void {
  const script =
    "const fs = require('fs'); fs.closeSync(fs.openSync('native', 'wx', 0o644)); fs.mkdirSync('native.d', 0o755)";
  const who = [`--reuid=${uid}`, `--regid=${gid}`, `--groups=${groups.join(',')}`];
  execFileSync('setpriv', [...who, process.execPath, '-e', script], { cwd: directory });
}

const permissions = (file: string): unknown => {
  const { uid, gid, mode } = statSync(file);
  return [uid, gid, (mode & 0o7777).toString(8), execFileSync('getfacl', ['-cnp', file], { encoding: 'utf8' })];
};

/** All ways in which a file is made. */
async function upload(place: Place, prefix: string): Promise<string[]> {
  await put(storage, place, `${prefix}small`, 'x');
  await put(storage, place, `${prefix}large`, noise(300_000));
  const source = await storage.open(place, `${prefix}large`);
  await storage.copy(source, place, `${prefix}copy`, request());
  await source.close();
  for (const count of [1, 2]) {
    const begun = await newUpload(storage, place, `${prefix}parts${count}`);
    const parts = [];
    for (let i = 1; i <= count; i++) parts.push(await putPart(storage, place, begun, i, noise(1000, i)));
    const etag = `${md5(Buffer.concat(parts.map((part) => Buffer.from(part.etag, 'hex'))))}-${count}`;
    await storage.completeUpload(place, begun.key, begun.id, parts, { ...begun.meta, etag, uploadId: begun.id });
  }
  return ['small', 'large', 'copy', 'parts1', 'parts2'];
}

async function alike(place: Place, directory: string): Promise<void> {
  native(place.actor!, join(path, directory));
  const expected = permissions(join(path, directory, 'native'));
  for (const name of await upload(place, `${directory}/`)) {
    assert.equal(permissions(join(path, directory, name)), expected, `${directory}/${name}`);
  }
  await put(storage, place, `${directory}/made/f`, 'x');
  assert.equal(permissions(join(path, directory, 'made')), permissions(join(path, directory, 'native.d')), directory);
  // What is below a directory that we made goes on in the same way.
  native(place.actor!, join(path, directory, 'made'));
  assert.equal(permissions(join(path, directory, 'made/f')), permissions(join(path, directory, 'made/native')));
  assert.equal(readdirSync(join(path, directory)).includes('.tidegate'), false, 'nothing is left aside');
}

const directory = (name: string, mode: number, gid = writer.gid, acl?: string): string => {
  mkdirSync(join(path, name));
  chownSync(join(path, name), writer.uid, gid);
  chmodSync(join(path, name), mode);
  if (acl) execFileSync('setfacl', ['-m', acl, join(path, name)]);
  return name;
};

asRoot('a plain directory', () => alike(at, directory('plain', 0o755)));
asRoot('the group of a setgid directory, his or not', async () => {
  await alike(at, directory('setgid', 0o2775, project));
  await alike(at, directory('setgid-foreign', 0o2755, foreign));
});
asRoot('the default ACL of a directory', async () => {
  await alike(at, directory('acl', 0o755, writer.gid, `d:u:${guest.uid}:rw,d:g:${project}:r,d:o::-`));
  await alike(at, directory('acl-wide', 0o755, writer.gid, 'd:u::rwx,d:g::rwx,d:o::rwx'));
  await alike(at, directory('acl-narrow', 0o755, writer.gid, 'd:u::rwx,d:g::-,d:o::-'));
  await alike(at, directory('acl-setgid', 0o2755, foreign, `d:g:${project}:rwx,d:m::rx`));
  const many = Array.from({ length: 90 }, (_, i) => `d:u:${61000 + i}:r`).join(',');
  await alike(at, directory('acl-many', 0o755, writer.gid, many));
});

asRoot('the bucket’s own setgid bit and default ACL do not go where there is none', async () => {
  const plain = directory('aside', 0o755);
  execFileSync('setfacl', ['-R', '-m', `d:u:${guest.uid}:rwx`, join(path, '.tidegate')]);
  for (const area of ['staging', 'uploads']) {
    chownSync(join(path, '.tidegate', area), writer.uid, project);
    chmodSync(join(path, '.tidegate', area), 0o2700);
  }
  try {
    await alike(at, plain);
  } finally {
    execFileSync('setfacl', ['-R', '-b', join(path, '.tidegate')]);
    for (const area of ['staging', 'uploads']) chmodSync(join(path, '.tidegate', area), 0o700);
  }
});

asRoot('all the same where each works as himself', async () => {
  await storage.putConfig(at.bucket, 'actAs', packActAs('requester'));
  const shared = (await storage.bucket('inherits'))!;
  const his = { bucket: shared, actor: guest };
  await alike(his, directory('open', 0o777));
  await alike(his, directory('open-setgid', 0o2777, foreign));
  await alike(his, directory('open-acl', 0o2777, project, `d:u:${writer.uid}:rw,d:g:${project}:r`));
});

asRoot('two at once where a file has to be made in the directory itself', async () => {
  const shared = (await storage.bucket('inherits'))!;
  const name = directory('both', 0o2777, foreign);
  await Promise.all(
    [writer, guest].flatMap((actor) =>
      Array.from({ length: 15 }, async (_, i) => {
        await put(storage, { bucket: shared, actor }, `${name}/${actor.uid}-${i}`, noise(200_000, i));
        const { uid, gid } = statSync(join(path, name, `${actor.uid}-${i}`));
        assert.equal([uid, gid], [actor.uid, foreign]);
      }),
    ),
  );
  assert.is(readdirSync(join(path, name)).length, 30);
});

asRoot(
  'a bucket that its creation could not give away is given by the next one, with something in it it stays',
  async () => {
    const home = join(path, '..');
    const own = '.tidegate';
    mkdirSync(join(home, 'begun'), { mode: 0o755 });
    mkdirSync(join(home, 'halfway', own), { recursive: true });
    chownSync(join(home, 'halfway'), writer.uid, writer.gid);
    mkdirSync(join(home, 'used', 'data'), { recursive: true });
    for (const [name, owner] of [
      ['begun', writer],
      ['halfway', writer],
      ['used', { uid: 0, gid: 0 }],
    ] as const) {
      const bucket = await storage.createBucket({ name, owner: 'someone' }, writer);
      const { uid, gid } = statSync(bucket.path);
      assert.equal([uid, gid], [owner.uid, owner.gid], name);
      assert.is(statSync(join(bucket.path, own)).uid, writer.uid, name);
    }
  },
);

withChattr('one that cannot be given to anybody serves as it is', async () => {
  const made = join(path, '..', 'kept');
  mkdirSync(made, { mode: 0o755 });
  // The kernel refuses to change its owner, as a filesystem does on which all belongs to one user.
  execFileSync('chattr', ['+a', made]);
  try {
    const bucket = await storage.createBucket({ name: 'kept', owner: 'someone' }, writer);
    assert.equal([bucket.path, statSync(made).uid], [made, 0]);
  } finally {
    execFileSync('chattr', ['-a', made]);
  }
});

test.run();
