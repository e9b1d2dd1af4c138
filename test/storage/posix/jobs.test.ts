/** What a job can do to the gateway's own files and to an object while it is in use. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../../gateway/errors.js';
import { get, keysOf, md5, noise, put, readFrom, refused, request } from '../../suites/storage-tools.js';
import { tempDir } from '../../support/temp.js';
import { withTimeout } from '../../support/time.js';
import { type Bench, me, openBench } from './store.js';

const jobs = suite('jobs at the gateway');
const synthetic = /^[0-9a-f]{32}-0$/;
const isRoot = process.getuid!() === 0;
let bench: Bench;

jobs.before(async () => {
  bench = await openBench();
});
jobs.after(() => bench.storage.close());

const python = (code: string, ...args: string[]): ChildProcess =>
  spawn('python3', ['-c', code, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
const said = (child: ChildProcess): Promise<string> =>
  new Promise((resolve) => child.stdout!.once('data', (data: Buffer) => resolve(String(data))));

/** Bodies of two contents of one size: nothing between them is either. */
const A = noise(200_000, 1);
const B = noise(200_000, 2);

jobs('written in place while it is read: never bytes under the digest of others', async () => {
  const { storage, at } = bench;
  for (const size of [5000, 200_000, 3_000_000]) {
    const contents = [noise(size, 1), noise(size, 2)];
    let torn = 0;
    for (let round = 0; round < 40; round++) {
      await put(storage, at, 'inplace', contents[0]!);
      const path = bench.file('inplace');
      const write = () => {
        const fd = openSync(path, 'r+');
        writeSync(fd, contents[1]!);
        // The times are put back.
        if (round % 2) futimesSync(fd, statSync(path).atime, statSync(path).mtime);
        closeSync(fd);
      };
      const reading = (async () => {
        const object = await storage.open(at, 'inplace');
        try {
          const bytes = await readFrom(object);
          if (/^[0-9a-f]{32}$/.test(object.info.meta.etag)) assert.is(md5(bytes), object.info.meta.etag, `${size}`);
        } catch (error) {
          assert.is((error as S3Error).code, 'ServiceUnavailable');
          torn++;
        } finally {
          await object.close();
        }
      })();
      if (round % 4 < 2) setImmediate(write);
      else setTimeout(write, round % 8);
      await reading;
      await new Promise((resolve) => setTimeout(resolve, 9));
      assert.match((await storage.head(at, 'inplace')).meta.etag, synthetic);
    }
    assert.ok(torn < 40);
  }
});

jobs('overwritten or tagged while it is read: that is no change of the content', async () => {
  const { storage, at } = bench;
  await put(storage, at, 'calm', noise(5_000_000, 1));
  const object = await storage.open(at, 'calm');
  let first = true;
  const chunks: Buffer[] = [];
  await object.read(0, 5_000_000, async (chunk) => {
    chunks.push(Buffer.from(chunk));
    if (!first) return;
    first = false;
    await storage.updateMeta(at, 'calm', { tags: { a: 'b' } });
    await put(storage, at, 'calm', 'new');
  });
  await object.close();
  assert.is(md5(Buffer.concat(chunks)), object.info.meta.etag);
});

jobs('a copy whose source is written meanwhile is refused, not given the wrong ETag', async () => {
  const { storage, at } = bench;
  for (let round = 0; round < 30; round++) {
    await put(storage, at, 'source', A);
    const source = await storage.open(at, 'source');
    const path = bench.file('source');
    if (round % 3 === 0) {
      const fd = openSync(path, 'r+');
      writeSync(fd, B);
      if (round % 2) futimesSync(fd, statSync(path).atime, statSync(path).mtime);
      closeSync(fd);
    } else setTimeout(() => writeFileSync(path, B, { flag: 'r+' }), round % 5);
    try {
      await storage.copy(source, at, 'copy', {
        digests: [],
        seal: () => ({ etag: source.info.meta.etag, headers: {}, user: {} }),
      });
      assert.is(md5(await get(storage, at, 'copy')), source.info.meta.etag);
      assert.ok(round % 3 !== 0);
    } catch (error) {
      assert.is((error as S3Error).code, 'ServiceUnavailable');
    }
    await source.close();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(bench.area('staging'), []);
});

jobs('written through another name, a mapping, an appending or truncating descriptor', async () => {
  const { storage, at } = bench;
  const ways: Record<string, (path: string) => void> = {
    link: (path) => {
      linkSync(path, `${path}.link`);
      writeFileSync(`${path}.link`, 'OTHER', { flag: 'r+' });
    },
    mapped: (path) =>
      void execFileSync('python3', [
        '-c',
        'import mmap,sys\nf=open(sys.argv[1],"r+b"); m=mmap.mmap(f.fileno(),0); m[0:5]=b"OTHER"; m.close()',
        path,
      ]),
    appended: (path) => writeFileSync(path, 'more', { flag: 'a' }),
    truncated: (path) => {
      const fd = openSync(path, 'r+');
      ftruncateSync(fd, 2);
      closeSync(fd);
    },
  };
  for (const [key, change] of Object.entries(ways)) {
    await put(storage, at, key, 'content', { tags: { a: '1' } });
    change(bench.file(key));
    const { meta, size } = await storage.head(at, key);
    assert.match(meta.etag, synthetic, key);
    assert.is(size, statSync(bench.file(key)).size);
    // Tags go on a content whose digest nobody knows, and do not bring the old one back.
    assert.match((await storage.updateMeta(at, key, { tags: { b: '2' } })).meta.etag, synthetic);
    assert.match((await storage.head(at, key)).meta.etag, synthetic);
  }
});

jobs('trees copied, synchronised and moved with their attributes', async () => {
  const { storage, at } = bench;
  await put(storage, at, 'tree/a', 'content', { user: { secret: 'x' }, owner: 'me' });
  await put(storage, at, 'tree/large', 'content', { user: { big: 'y'.repeat(6000) } });
  await put(storage, at, 'tree/sub/', 'body of a marker');
  execFileSync('cp', ['-a', bench.file('tree'), bench.file('cp')]);
  const trees = ['cp'];
  try {
    execFileSync('rsync', ['-aX', `${bench.file('tree')}/`, bench.file('rsync')]);
    trees.push('rsync');
  } catch {
    // Not on this machine.
  }
  for (const tree of trees) {
    assert.match((await storage.head(at, `${tree}/a`)).meta.etag, synthetic);
    assert.equal((await storage.head(at, `${tree}/large`)).meta.user, {});
    await refused(storage.head(at, `${tree}/sub/`), 'NoSuchKey');
    for (const key of ['a', 'large', 'sub/']) await storage.remove(at, `${tree}/${key}`);
    assert.is((await storage.head(at, 'tree/large')).meta.user['big']?.length, 6000);
    assert.is(String(await get(storage, at, 'tree/sub/')), 'body of a marker');
  }
  renameSync(bench.file('tree'), bench.file('moved'));
  assert.is((await storage.head(at, 'moved/a')).meta.etag, md5('content'));
  assert.is(String(await get(storage, at, 'moved/sub/')), 'body of a marker');
});

jobs("another object's record, overflow file or body is neither shown nor removed", async () => {
  const { storage, at } = bench;
  await put(storage, at, 'victim', 'content', { user: { big: 'y'.repeat(6000) }, owner: 'victim' });
  await put(storage, at, 'room/', 'what is in it');
  mkdirSync(bench.file('thief'));
  writeFileSync(bench.file('thief/file'), 'content');
  mkdirSync(bench.file('thief/dir'));
  // The same value, with the inode number, size and times of the thief's own file in it.
  const forge = `
import os,sys,json
def b36(n):
    s=''
    while n: n,r=divmod(n,36); s='0123456789abcdefghijklmnopqrstuvwxyz'[r]+s
    return s or '0'
v,t=sys.argv[1:3]
j=json.loads(os.getxattr(v,'user.tidegate')[1:])
st=os.stat(t)
j['s']=[st.st_size if not os.path.isdir(t) else 0,b36(st.st_mtime_ns) if not os.path.isdir(t) else '0',b36(st.st_ino),b36(st.st_ctime_ns+10**15)]
os.setxattr(t,'user.tidegate',b'\\x01'+json.dumps(j).encode())
`;
  execFileSync('python3', ['-c', forge, bench.file('victim'), bench.file('thief/file')]);
  execFileSync('python3', ['-c', forge, bench.file('room'), bench.file('thief/dir')]);
  assert.equal((await storage.head(at, 'thief/file')).meta.user, {});
  await refused(storage.head(at, 'thief/dir/'), 'NoSuchKey');
  await storage.remove(at, 'thief/file');
  await put(storage, at, 'thief/dir/', 'mine');
  await storage.remove(at, 'thief/dir/');
  assert.is((await storage.head(at, 'victim')).meta.user['big']?.length, 6000);
  assert.is(String(await get(storage, at, 'room/')), 'what is in it');
});

jobs('huge and foreign values in the attribute', async () => {
  const { storage, at } = bench;
  for (const value of [
    `\x01${'['.repeat(3000)}`,
    `\x01{"m":{"u":${'['.repeat(1000)}}}`,
    '\x01{"s":[1,2,3,4]}',
    '\x02{}',
    '\xff'.repeat(1700),
  ]) {
    writeFileSync(bench.file('odd'), 'content');
    execFileSync('python3', [
      '-c',
      'import os,sys; os.setxattr(sys.argv[1],"user.tidegate",os.fsencode(sys.argv[2]))',
      bench.file('odd'),
      value,
    ]);
    assert.match((await storage.head(at, 'odd')).meta.etag, synthetic);
    assert.ok((await keysOf(storage, at)).includes('odd'));
    await put(storage, at, 'odd', 'mine');
    assert.is((await storage.head(at, 'odd')).meta.etag, md5('mine'));
    rmSync(bench.file('odd'));
  }
});

jobs('spoilt .tidegate: a clear 503 for what needs it, and reads go on', async () => {
  const { storage, at } = bench;
  const own = bench.file('.tidegate');
  const outside = tempDir();
  for (const area of ['locks', 'staging', 'meta', 'bodies', 'uploads']) mkdirSync(join(outside, area));
  const before = () => JSON.stringify(readdirSync(outside, { recursive: true }));
  const empty = before();
  await put(storage, at, 'kept', 'content', { tags: { a: '1' } });
  await put(storage, at, 'suspect', 'content');
  const spoil: Record<string, () => void> = {
    'a file': () => writeFileSync(own, ''),
    'a symbolic link': () => symlinkSync(outside, own),
    'a FIFO': () => void execFileSync('mkfifo', [own]),
    'locks a file': () => {
      mkdirSync(own);
      writeFileSync(join(own, 'locks'), '');
    },
    'staging a link': () => {
      mkdirSync(own);
      symlinkSync(join(outside, 'staging'), join(own, 'staging'));
    },
    'each lock a link': () => {
      mkdirSync(join(own, 'locks'), { recursive: true });
      for (let i = 0; i < 256; i++) {
        symlinkSync(join(outside, 'target'), join(own, 'locks', i.toString(16).padStart(2, '0')));
      }
    },
  };
  renameSync(own, `${own}-aside`);
  for (const [what, make] of Object.entries(spoil)) {
    make();
    chmodSync(bench.file('suspect'), 0o640);
    for (const size of [10, 300_000]) {
      const error = await refused(put(storage, at, 'written', noise(size)), 'ServiceUnavailable', what);
      assert.match(error.message, '.tidegate');
    }
    if (what !== 'staging a link') {
      await refused(storage.updateMeta(at, 'kept', { tags: {} }), 'ServiceUnavailable', what);
      await refused(storage.remove(at, 'kept'), 'ServiceUnavailable', what);
    }
    assert.is((await storage.head(at, 'kept')).meta.etag, md5('content'), what);
    assert.is(String(await get(storage, at, 'kept')), 'content');
    assert.match((await storage.head(at, 'suspect')).meta.etag, synthetic);
    assert.ok((await keysOf(storage, at)).includes('suspect'), what);
    assert.is(before(), empty, what);
    rmSync(own, { recursive: true });
  }
  renameSync(`${own}-aside`, own);
  await put(storage, at, 'written', 'x');
});

jobs('.tidegate closed by its owner', async () => {
  if (!isRoot) return;
  const { storage } = bench;
  execFileSync('chmod', ['755', bench.root]);
  const actor = { uid: 1234, gid: 1234, groups: [] };
  const bucket = await storage.createBucket({ name: 'closed', owner: 'owner' }, actor);
  const at = { bucket, actor };
  await put(storage, at, 'a', 'content');
  chmodSync(join(bucket.path, '.tidegate'), 0);
  await refused(put(storage, at, 'b', 'x'), 'ServiceUnavailable');
  await refused(storage.remove(at, 'a'), 'ServiceUnavailable');
  assert.is((await storage.head(at, 'a')).meta.etag, md5('content'));
  chmodSync(join(bucket.path, '.tidegate'), 0o700);
  chmodSync(join(bucket.path, '.tidegate/locks'), 0o700);
  // Of another account: not for this one.
  const other = { bucket, actor: { uid: 4321, gid: 4321, groups: [] } };
  await refused(put(storage, other, 'b', 'x'), 'AccessDenied');
  // What may not be read is listed, and refused; a directory that may not be read is left out.
  writeFileSync(join(bucket.path, 'private'), 'x', { mode: 0o600 });
  mkdirSync(join(bucket.path, 'shut'), { mode: 0o700 });
  writeFileSync(join(bucket.path, 'shut/x'), 'x');
  writeFileSync(join(bucket.path, 'z'), 'x');
  assert.equal(await keysOf(storage, at), ['a', 'private', 'z']);
  await refused(storage.head(at, 'private'), 'AccessDenied');
  await refused(storage.open(at, 'private'), 'AccessDenied');
  await refused(storage.head(at, 'shut/x'), 'AccessDenied');
  await refused(storage.updateMeta(at, 'private', { tags: {} }), 'AccessDenied');
  await refused(put(storage, at, 'shut/y', 'x'), 'AccessDenied');
  await refused(storage.deleteBucket(at), 'BucketNotEmpty');
  await put(storage, at, 'private', 'mine');
  await storage.remove(at, 'z');
  chmodSync(join(bucket.path), 0o500);
  await refused(put(storage, at, 'new', 'x'), 'AccessDenied');
  await refused(storage.remove(at, 'a'), 'AccessDenied');
  chmodSync(join(bucket.path), 0o755);
});

jobs('locks held by a job for hours: the writes that need them are told to slow down, nobody else waits', async () => {
  const { storage, at } = bench;
  await put(storage, at, 'locked', 'content');
  await put(storage, at, 'chmodded', 'content');
  const child = python(
    'import fcntl,glob,sys,time\nfs=[open(p,"r+") for p in sys.argv[1:]]\n[fcntl.flock(f,fcntl.LOCK_EX) for f in fs]\nprint("held",flush=True)\ntime.sleep(600)',
    ...readdirSync(bench.file('.tidegate/locks')).map((name) => bench.file(`.tidegate/locks/${name}`)),
  );
  try {
    assert.match(await said(child), 'held');
    chmodSync(bench.file('chmodded'), 0o640);
    const begun = Date.now();
    const writes = ['locked', 'chmodded'].flatMap((key) => [
      refused(put(storage, at, key, 'x'), 'SlowDown'),
      refused(storage.remove(at, key), 'SlowDown'),
      refused(storage.updateMeta(at, key, { tags: {} }), 'SlowDown'),
    ]);
    for (let i = 0; i < 50; i++) {
      assert.is((await storage.head(at, 'locked')).meta.etag, md5('content'));
      assert.match((await storage.head(at, 'chmodded')).meta.etag, synthetic);
      await keysOf(storage, at);
    }
    // 150 reads that wait for the lock would take minutes; a slow machine takes seconds.
    assert.ok(Date.now() - begun < 30_000, `readers did not wait (${Date.now() - begun} ms)`);
    await withTimeout('writes', 10_000, Promise.all(writes));
    const elsewhere = await storage.createBucket({ name: 'elsewhere', owner: 'owner' }, me);
    await put(storage, { bucket: elsewhere, actor: me }, 'free', 'x');
  } finally {
    child.kill('SIGKILL');
  }
  await put(storage, at, 'locked', 'again');
});

jobs('directories exchanged with symbolic links all the time: nothing outside is read or written', async () => {
  const { storage, at } = bench;
  const outside = tempDir();
  mkdirSync(join(outside, 'sub'));
  writeFileSync(join(outside, 'secret'), 'SECRET');
  writeFileSync(join(outside, 'sub/secret'), 'SECRET');
  mkdirSync(bench.file('flip/d/sub'), { recursive: true });
  const child = python(
    `
import ctypes,os,sys
base,outside=sys.argv[1:3]
os.symlink(outside,base+'/link')
libc=ctypes.CDLL(None)
a,b=(base+'/d').encode(),(base+'/link').encode()
print('go',flush=True)
for i in range(10001):
    if libc.renameat2(-100,a,-100,b,2): raise OSError('renameat2')
    if i%50==0: os.sched_yield()
    if os.getppid()==1: break
    import time; time.sleep(0.0002)
print('done',flush=True)
`,
    bench.file('flip'),
    outside,
  );
  await said(child);
  let running = true;
  child.once('exit', () => {
    running = false;
  });
  const fine = new Set(['NoSuchKey', 'KeyConflict', 'SlowDown', 'ServiceUnavailable', 'OperationAborted']);
  const ok = async (work: Promise<unknown>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      assert.ok(fine.has((error as S3Error).code), `${(error as Error).stack} ${(error as Error).cause}`);
    }
  };
  const client = async (mine: number) => {
    for (let i = 0; running; i++) {
      const key = `flip/d/${i % 2 ? 'sub/' : ''}${mine}`;
      await ok(put(storage, at, key, 'mine'));
      await ok(
        storage.put(
          at,
          `flip/d/n${mine}/x/y`,
          { length: undefined, read: async (sink) => sink(Buffer.from('mine')) },
          request(),
        ),
      );
      await ok(get(storage, at, key).then((bytes) => assert.is(String(bytes), 'mine')));
      await ok(get(storage, at, 'flip/d/secret').then(() => assert.unreachable('read what is outside')));
      await ok(
        storage
          .list(at, { prefix: i % 2 ? 'flip/' : 'flip/d/', delimiter: i % 3 ? '' : '/', after: '', limit: 1000 })
          .then(({ objects }) => assert.not.match(JSON.stringify(objects), 'secret')),
      );
      await ok(put(storage, at, `flip/d/m${mine}/`, ''));
      await ok(storage.remove(at, `flip/d/m${mine}/`));
      await ok(storage.remove(at, key));
      await ok(storage.remove(at, 'flip/d/secret'));
      await ok(storage.remove(at, `flip/d/n${mine}/x/y`));
    }
    return undefined;
  };
  await withTimeout('flips', 120_000, Promise.all([client(1), client(2), client(3)]));
  assert.equal((readdirSync(outside, { recursive: true }) as string[]).sort(), ['secret', 'sub', 'sub/secret']);
  assert.is(readFileSync(join(outside, 'secret'), 'utf8'), 'SECRET');
  assert.is(statSync(join(outside, 'secret')).nlink, 1);
});

jobs('names of every kind', async () => {
  const { storage, at } = bench;
  mkdirSync(bench.file('names'));
  const names = [
    'new\nline',
    'x'.repeat(255),
    'é'.repeat(127),
    'tab\t"<&>',
    ' space ',
    '-',
    '...',
    '\\',
    'a:b',
    '\x7f',
    '\x01',
  ];
  for (const name of names) writeFileSync(bench.file(`names/${name}`), name);
  writeFileSync(Buffer.concat([Buffer.from(bench.file('names/')), Buffer.from([0xff, 0xfe])]), 'alien');
  mkdirSync(Buffer.concat([Buffer.from(bench.file('names/')), Buffer.from([0xc3, 0x28])]));
  const { objects } = await storage.list(at, { prefix: 'names/', delimiter: '', after: '', limit: 1000 });
  assert.equal(objects.map(({ key }) => key.slice(6)).sort(), [...names].sort());
  for (const name of names) {
    assert.is(String(await get(storage, at, `names/${name}`)), name);
    await put(storage, at, `names/${name}`, 'x');
    await storage.updateMeta(at, `names/${name}`, { tags: { a: '1' } });
    await storage.remove(at, `names/${name}`);
  }
  // A tree deeper than any key.
  const deep = 'd/'.repeat(1500);
  mkdirSync(bench.file(deep), { recursive: true });
  writeFileSync(bench.file(`${deep}x`), '');
  assert.not.ok((await keysOf(storage, at)).some((key) => key.startsWith('d/')));
  const { prefixes } = await storage.list(at, { prefix: '', delimiter: '/', after: '', limit: 1000 });
  assert.not.ok(prefixes.includes('d/'), 'no key can be there');
  execFileSync('rm', ['-rf', bench.file('d')]);
  assert.ok(lstatSync(bench.file('names')).isDirectory());
});

jobs('a directory removed by a job while it is written to and listed', async () => {
  const { storage, at } = bench;
  let running = true;
  const destroyer = (async () => {
    for (let i = 0; i < 60; i++) {
      execFileSync('sh', ['-c', 'rm -rf "$0" 2>/dev/null || true', bench.file('doomed')]);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    running = false;
  })();
  const client = async (mine: number) => {
    for (let i = 0; running; i++) {
      try {
        await put(storage, at, `doomed/a/b/${mine}-${i}`, 'x');
        await storage.list(at, { prefix: 'doomed/', delimiter: '', after: '', limit: 1000 });
        await storage.remove(at, `doomed/a/b/${mine}-${i}`);
      } catch (error) {
        assert.ok(
          ['SlowDown', 'ServiceUnavailable', 'OperationAborted'].includes((error as S3Error).code),
          `${(error as Error).message} ${(error as Error).cause}`,
        );
      }
    }
  };
  await Promise.all([client(1), client(2), client(3), destroyer]);
  assert.equal(bench.area('staging'), []);
});

jobs.run();
