import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Complaint } from '../gateway/complaint.js';
import { openSealer } from '../gateway/master-key.js';
import type { Documents } from '../gateway/storage/types.js';
import { memoryDocuments } from './support/documents.js';

const id = 'AKIAABCDEFGHIJKLMNOP';
const masterKey = suite('master key');
let root = '';
let documents: Documents;
masterKey.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'tidegate-key-'));
  documents = memoryDocuments();
});
masterKey.after.each(() => rmSync(root, { recursive: true, force: true }));

const open = (more: { masterKeyFile?: string; masterKey?: string } = {}) =>
  openSealer({ root, masterKeyFile: undefined, masterKey: undefined, ...more }, documents);
const path = () => join(root, '.tidegate', 'master.key');

async function complaint(more: { masterKeyFile?: string; masterKey?: string } = {}): Promise<string> {
  try {
    await open(more);
  } catch (error) {
    assert.instance(error, Complaint);
    return (error as Complaint).message;
  }
  throw new Error('nothing was wrong');
}

masterKey('the first start makes the file, readable for its owner alone; later ones use it', async () => {
  const sealed = (await open()).seal(id, 'secret');
  assert.is(statSync(path()).mode & 0o777, 0o600);
  assert.is(statSync(join(root, '.tidegate')).mode & 0o777, 0o700);
  assert.equal(readdirSync(join(root, '.tidegate')), ['master.key']);
  assert.is((await open()).open(id, sealed), 'secret');
});

masterKey('many that start at once agree on one key and leave no litter', async () => {
  const sealers = await Promise.all(Array.from({ length: 20 }, () => open()));
  const sealed = sealers[0]!.seal(id, 'secret');
  for (const sealer of sealers) assert.is(sealer.open(id, sealed), 'secret');
  assert.equal(readdirSync(join(root, '.tidegate')), ['master.key']);
});

masterKey('a key from the environment needs no file', async () => {
  const key = randomBytes(32);
  const sealed = (await open({ masterKey: key.toString('hex') })).seal(id, 'secret');
  assert.is((await open({ masterKey: key.toString('base64') })).open(id, sealed), 'secret');
  assert.not(existsSync(path()));
});

masterKey('another key than the one of this root is refused, and nothing is overwritten', async () => {
  await open();
  const before = readFileSync(path(), 'utf8');
  const message = await complaint({ masterKey: randomBytes(32).toString('hex') });
  assert.match(message, /TIDEGATE_MASTER_KEY is not the one that the secrets under .* were sealed with/);
  assert.is(readFileSync(path(), 'utf8'), before);
});

masterKey('a lost key file is told, not replaced by a key that opens nothing', async () => {
  await open();
  rmSync(path());
  assert.match(await complaint(), /master\.key is missing, and secrets were sealed with it/);
  assert.not(existsSync(path()));
});

masterKey('a file that others may read is refused with what to do', async () => {
  await open();
  for (const mode of [0o640, 0o604, 0o660]) {
    chmodSync(path(), mode);
    assert.match(await complaint(), `chmod 600 '${path()}'`);
  }
  chmodSync(path(), 0o600);
  await open();
});

masterKey('what is no key is told with where it came from', async () => {
  assert.match(await complaint({ masterKey: 'short' }), 'the master key in TIDEGATE_MASTER_KEY is not 32 bytes');
  const file = join(root, 'mine.key');
  writeFileSync(file, '', { mode: 0o600 });
  assert.match(await complaint({ masterKeyFile: file }), `the master key in ${file} is not 32 bytes`);
  mkdirSync(join(root, 'dir'), { mode: 0o700 });
  assert.match(await complaint({ masterKeyFile: join(root, 'dir') }), 'is not a regular file');
});

masterKey.run();
