// timeout: 240
/**
 * A user who exchanges a directory of his bucket for a symbolic link, to and fro, while requests go through it: nothing
 * outside is ever read, listed, written or deleted. What stands outside may be read and written by everybody, so that it is
 * not the kernel's permissions that keep it.
 */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKey, type Gateway, type Key, startGateway } from '../support/gateway.js';
import { tempDir } from '../support/temp.js';
import { exchange, type Flipper, replace } from './flipper.js';
import { type Answer, closeSockets, type Request, send } from './wire.js';

const test = suite('hostile: symbolic links that come and go');
const FLIPS = 10_000;
const SECRET = 'the secret of another user';
let gateway: Gateway;
/** Everything that is not the bucket's, on the same filesystem. */
let outside: string;
let published: string;
let publisher: Key;

test.before(async () => {
  const work = tempDir('tidegate-swaps-');
  chmodSync(work, 0o755);
  const root = join(work, 'root');
  outside = join(work, 'outside');
  published = join(work, 'published');
  for (const directory of [outside, join(outside, 'sub'), published]) open(directory, 0o777);
  for (const name of ['secret', 'victim', 'sub/target', 'sub/only-outside', 'only-outside']) {
    writeFileSync(join(outside, name), SECRET);
    chmodSync(join(outside, name), 0o666);
  }
  gateway = await startGateway({ root, flags: ['--log-level', 'warn', '--durability', 'none'] });
  publisher = await createKey(root, 'test', ['--fspaths', published]);
});
test.after(async () => {
  closeSockets();
  assert.is(await gateway?.stop(), 0);
});

function open(directory: string, mode: number): void {
  mkdirSync(directory);
  chmodSync(directory, mode);
}

/** Every change shows in a ctime: of bytes, names, attributes, rights. */
function snapshot(directory = outside): string[] {
  const { ctimeNs, size, mode } = lstatSync(directory, { bigint: true });
  const own = `${directory} ${mode} ${size} ${ctimeNs}`;
  if (!lstatSync(directory).isDirectory()) return [own];
  return [own, ...readdirSync(directory).flatMap((name) => snapshot(join(directory, name)))];
}

interface Tally {
  sent: number;
  fine: number;
}

/** What an answer must never be, whatever the moment. */
function judge({ method = 'GET', url }: Request, answer: Answer, tally: Tally): Answer {
  const what = `${method} ${url}: ${answer.text}`;
  assert.not.match(answer.text, SECRET, what);
  assert.not.match(answer.text, 'only-outside', what);
  // HEAD and GetObjectAttributes would tell the size.
  assert.not.match(
    answer.text,
    new RegExp(`content-length: ${SECRET.length}\r|<ObjectSize>${SECRET.length}<`, 'i'),
    what,
  );
  assert.ok(answer.status !== undefined && (answer.status < 500 || answer.status === 503), what);
  tally.sent++;
  if (answer.status < 300) tally.fine++;
  return answer;
}

const tagging = '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>';

/** One round of everything that goes through `prefix`. */
async function round(bucket: string, prefix: string, at: number, as: Key, tally: Tally): Promise<void> {
  const ask = async (request: Request) => {
    const full = { ...request, url: `/${bucket}${request.url}`, as };
    return judge(full, await send(gateway, full), tally);
  };
  const key = (name: string) => `/${prefix}${name}`;
  const copySource = { 'x-amz-copy-source': `/${bucket}${key('secret')}` };
  const multipart = async () => {
    const begun = await ask({ method: 'POST', url: `${key(`multi-${at}`)}?uploads` });
    const id = /<UploadId>([^<]+)/.exec(begun.body)?.[1];
    if (id === undefined) return;
    const part = `${key(`multi-${at}`)}?partNumber=1&uploadId=${id}`;
    const stored = await ask({ method: 'PUT', url: part, body: 'evil' });
    await ask({ method: 'PUT', url: part.replace('=1', '=2'), headers: copySource });
    const etag = /etag: (\S+)/i.exec(stored.text)?.[1];
    const list = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;
    await ask({ method: 'POST', url: `${key(`multi-${at}`)}?uploadId=${id}`, body: list });
  };
  const copyOut = async () => {
    const { status } = await ask({ method: 'PUT', url: `/copied-${at}`, headers: copySource });
    if (status === 200) await ask({ url: `/copied-${at}` });
  };
  const list = `<Delete><Object><Key>${prefix}victim</Key></Object><Object><Key>${prefix}sub/target</Key></Object></Delete>`;
  await Promise.all([
    ask({ url: key('secret') }),
    ask({ method: 'HEAD', url: key('secret') }),
    ask({ url: `${key('secret')}?attributes`, headers: { 'x-amz-object-attributes': 'ObjectSize,ETag' } }),
    ask({ url: `?list-type=2&prefix=${prefix}` }),
    ask({ url: '' }),
    ask({ url: `?prefix=${prefix}sub/` }),
    ask({ method: 'PUT', url: key('secret'), body: 'inside' }),
    ask({ method: 'PUT', url: key(`new-${at}`), body: 'evil' }),
    ask({ method: 'PUT', url: key(`sub/deep/new-${at}`), body: 'e'.repeat(200_000) }),
    ask({ method: 'PUT', url: key(`made-${at}/`) }),
    ask({ method: 'PUT', url: `${key('secret')}?tagging`, body: tagging }),
    ask({ method: 'DELETE', url: key('victim') }),
    ask({ method: 'DELETE', url: key(`sub/deep/new-${at - 1}`) }),
    ask({ method: 'DELETE', url: key('sub/target') }),
    ask({ method: 'POST', url: '?delete', body: list }),
    ask({ method: 'PUT', url: key(`copied-${at}`), headers: { 'x-amz-copy-source': `/${bucket}/plain` } }),
    copyOut(),
    multipart(),
  ]);
}

interface Race {
  start: () => Promise<Flipper>;
  bucket: string;
  prefix: string;
  as?: Key;
  rounds: number;
}

/** Rounds until there were enough exchanges and rounds, at most 40 s. */
async function race({ start, bucket, prefix, as = gateway, rounds }: Race): Promise<Tally> {
  const before = snapshot();
  const tally: Tally = { sent: 0, fine: 0 };
  const flipper = await start();
  let flips = 0;
  const end = Date.now() + 40_000;
  try {
    for (let at = 0; Date.now() < end && (at < rounds || flipper.count() < FLIPS); at++) {
      await round(bucket, prefix, at, as, tally);
    }
  } finally {
    flips = await flipper.stop();
  }
  assert.ok(flips >= FLIPS, `only ${flips} exchanges`);
  assert.equal(snapshot(), before, 'something outside was changed');
  assert.ok(tally.fine > 20, `only ${tally.fine} of ${tally.sent} requests succeeded`);
  return tally;
}

async function newBucket(name: string, as: Key = gateway, headers: Record<string, string> = {}): Promise<void> {
  const made = await send(gateway, { method: 'PUT', url: `/${name}`, as, headers });
  assert.is(made.status, 200, made.text);
  assert.is((await send(gateway, { method: 'PUT', url: `/${name}/plain`, as, body: 'plain' })).status, 200);
}

test('a directory that is a link to a directory outside every other moment', async () => {
  await newBucket('directory');
  const bucket = gateway.bucketPath('directory');
  assert.is((await send(gateway, { method: 'PUT', url: '/directory/swap/secret', body: 'inside' })).status, 200);
  const held = join(bucket, '..', 'held-directory');
  symlinkSync(outside, held);
  const start = () => exchange(join(bucket, 'swap'), held);
  const { sent, fine } = await race({ start, bucket: 'directory', prefix: 'swap/', rounds: 15 });
  assert.ok(fine < sent, 'the link was never met');
});

test('a file that is a link to a file outside every other moment', async () => {
  await newBucket('file');
  const bucket = gateway.bucketPath('file');
  for (const name of ['secret', 'victim']) {
    const start = () => replace(join(bucket, name), join(outside, name), 'inside');
    await race({ start, bucket: 'file', prefix: '', rounds: 8 });
  }
});

test('links where the gateway keeps its own files: nothing is staged, locked or kept outside', async () => {
  for (const area of ['.tidegate', '.tidegate/staging', '.tidegate/uploads', '.tidegate/locks']) {
    const name = `own-${area.split('/')[1] ?? 'all'}`;
    await newBucket(name);
    const bucket = gateway.bucketPath(name);
    if (!existsSync(join(bucket, area))) mkdirSync(join(bucket, area));
    const held = join(bucket, '..', `held-${name}`);
    symlinkSync(outside, held);
    await race({ start: () => exchange(join(bucket, area), held), bucket: name, prefix: 'x/', rounds: 4 });
  }
});

test('a bucket over a directory of a user, who exchanges the directory above it', async () => {
  const [above, held] = [join(published, 'above'), join(published, 'held')];
  open(above, 0o777);
  open(join(above, 'data'), 0o777);
  await newBucket('above', publisher, { 'x-ddn-specified-directory': join(above, 'data') });
  const elsewhere = join(outside, '..', 'elsewhere');
  mkdirSync(elsewhere);
  // `above/data` is the directory outside, by way of a link.
  symlinkSync(elsewhere, held);
  renameSync(outside, join(elsewhere, 'data'));
  outside = join(elsewhere, 'data');
  await race({ start: () => exchange(above, held), bucket: 'above', prefix: '', as: publisher, rounds: 8 });
});

test.run();
