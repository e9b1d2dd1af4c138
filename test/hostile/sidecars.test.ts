/** Metadata in files of its own, and a job's user who may rename what is in the directory of the bucket: only as root. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decode, encode } from '../../acl/metadata/codec.js';
import { isRoot, startTown } from '../support/people.js';
import { fails } from '../support/sdk.js';
import { tempDir } from '../support/temp.js';

const test = suite('hostile: sidecars');
const asRoot = isRoot ? test : test.skip;
const shared = 60300;

asRoot('a colleague’s .tidegate in the place of the owner’s opens none of her files', async () => {
  const town = await startTown(['--metadata', 'sidecar', '--log-level', 'warn']);
  const Bucket = 'sidecars';
  const anna = await town.person('anna', 60101, 60101, [60101, shared]);
  const path = await town.bucket(Bucket, anna, 'owner', []);
  chownSync(path, anna.uid, shared);
  chmodSync(path, 0o775);
  const put = (Key: string, more: object = {}) =>
    anna.client.send(new s3.PutObjectCommand({ Bucket, Key, Body: `content of ${Key}`, ...more }));
  await put('secret');
  await put('open', { ACL: 'public-read' });
  chmodSync(join(path, 'secret'), 0o600);
  const status = async (key: string) => (await fetch(`${town.gateway.endpoint}/${Bucket}/${key}`)).status;
  assert.equal([await status('open'), await status('secret')], [200, 403]);

  const asBert = (script: string) =>
    spawnSync('setpriv', ['--reuid=60102', '--regid=60102', `--groups=${shared}`, 'sh', '-ec', script], { cwd: path })
      .status;
  assert.is.not(asBert('cat secret'), 0);
  const sidecarIn = (area: string, key: string) => join(area, 'meta', `i${statSync(join(path, key)).ino}`);
  const { size, mtimeNs, ino } = statSync(join(path, 'secret'), { bigint: true });
  const forged = decode(readFileSync(join(path, sidecarIn('.tidegate', 'open'))))!;
  const draft = join(tempDir('tidegate-forged-'), 'forged');
  chmodSync(join(draft, '..'), 0o755);
  writeFileSync(draft, encode({ ...forged, stamp: { size: Number(size), mtimeNs, ino, bound: 2n ** 62n } }));
  const areas = 'staging locks uploads';
  // The gateway makes what it misses at any moment, also between two renames.
  const place = (name: string) => `until mv -T ${name} .tidegate; do mv -T .tidegate "aside$(date +%N)"; done`;

  const made = `mkdir made; cd made; mkdir meta ${areas}; cp ${draft} ${sidecarIn('.', 'secret')}; chmod -R a+rX .; chmod 777 . *; cd ..`;
  assert.is(asBert(`${made}; mv -T .tidegate kept; ${place('made')}`), 0);
  assert.equal([await status('open'), await status('secret')], [503, 503]);
  const get = new s3.GetObjectCommand({ Bucket, Key: 'secret' });
  await fails(anna.client.send(get), 'ServiceUnavailable', 503);
  assert.is(asBert(place('kept')), 0);

  // A directory of hers that he may write, in one of his.
  spawnSync('setpriv', ['--reuid=60101', '--regid=60101', `--groups=${shared}`, 'sh', '-ec', 'mkdir -m 777 d'], {
    cwd: path,
  });
  const moved = `mkdir moved; mv d moved/meta; cd moved; mkdir ${areas}; cp ${draft} ${sidecarIn('.', 'secret')}; chmod 777 . ${areas}; cd ..`;
  assert.is(asBert(`${moved}; mv -T .tidegate kept; ${place('moved')}`), 0);
  assert.equal([await status('open'), await status('secret')], [503, 503]);
  assert.is(asBert(place('kept')), 0);

  assert.equal([await status('open'), await status('secret')], [200, 403]);
  assert.is(await (await anna.client.send(get)).Body!.transformToString(), 'content of secret');
  assert.is(await town.close(), 0);
});

test.run();
