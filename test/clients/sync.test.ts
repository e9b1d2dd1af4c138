// timeout: 300
/** The workflows of the handbook around BucketSync, with the real programs: s3curl, aws, s3dsbucket. */
import { appendFileSync, chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { command, type Gateway, startGateway } from '../support/gateway.js';
import { haveProgram, mustRun, run } from '../support/programs.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { md5 } from '../support/two-doors.js';

const test = suite('sync with clients');
let gateway: Gateway;
test.before(async () => {
  // Nothing but the sync finds what jobs do.
  const flags = ['--log-level', 'warn', '--sync-quiet', '0s', '--sync-watch', 'off', '--sync-quick-scan', 'never'];
  gateway = await startGateway({ flags });
});
test.after(async () => {
  assert.is(await gateway?.stop(), 0);
});

const when = (...programs: string[]) => (programs.map(haveProgram).every(Boolean) ? test : test.skip);

/** A bucket whose first scan is over. */
async function makeBucket(name: string): Promise<string> {
  await command('s3dsbucket', ['create', '-k', gateway.accessKey, '-b', name], gateway.root);
  await until('the first scan', 20_000, () => {
    try {
      const text = readFileSync(join(gateway.root, '.tidegate/syncs', `${name}.json`), 'utf8');
      return (JSON.parse(text).lastFullScan as string | undefined) && true;
    } catch {
      return undefined;
    }
  });
  return gateway.bucketPath(name);
}

const element = (xml: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];

when('s3curl', 'curl')('s3curl --put=emptyPayload -- http://HOST/B?sync -H "x-ddn-bucket-sync-ops:…"', async () => {
  const path = await makeBucket('curl');
  const home = tempDir();
  writeFileSync(
    join(home, '.s3curl'),
    `%awsSecretAccessKeys = ( lab => { id => '${gateway.accessKey}', key => '${gateway.secretKey}' } );\n`,
  );
  chmodSync(join(home, '.s3curl'), 0o600);
  writeFileSync(join(home, 'emptyPayload'), '');
  // As Debian calls it.
  const s3curl = 's3curl';
  const shell = (line: string) =>
    run('bash', ['-c', line], {
      cwd: home,
      env: { ...process.env, HOME: home, B: 'curl', HOST: `127.0.0.1:${gateway.port}` },
    });
  const sync = async (ops: string) =>
    (await shell(`${s3curl} --id=lab --put=emptyPayload -- http://$HOST/$B?sync -H "x-ddn-bucket-sync-ops:${ops}"`))
      .stdout;
  const counts = (xml: string) =>
    ['Added', 'Updated', 'Deleted', 'Unchanged', 'Errors'].map((name) => Number(element(xml, name)));

  writeFileSync(join(path, 'old'), 'old');
  writeFileSync(join(path, 'gone'), 'gone');
  assert.equal(counts(await sync('WRITE,UPDATE,DELETE')), [2, 0, 0, 0, 0]);
  appendFileSync(join(path, 'old'), 'er');
  rmSync(join(path, 'gone'));
  mkdirSync(join(path, '結果'));
  writeFileSync(join(path, '結果/新しい.nc'), 'new');
  assert.equal(counts(await sync('WRITE')), [1, 0, 0, 0, 0]);
  assert.equal(counts(await sync('UPDATE')), [0, 1, 0, 1, 0]);
  assert.equal(counts(await sync('DELETE')).slice(0, 3), [0, 0, 1]);
  assert.equal(counts(await sync('WRITE,UPDATE,DELETE')), [0, 0, 0, 2, 0]);
  assert.is(element(await sync('WRITE,ERASE'), 'Code'), 'InvalidArgument');

  // A payload that is not quite empty, and the form without a header.
  writeFileSync(join(home, 'emptyPayload'), '\n');
  assert.is(
    element((await shell(`${s3curl} --id=lab --put=emptyPayload -- http://$HOST/$B?sync`)).stdout, 'State'),
    'done',
  );
  // A file up and down, as in the handbook.
  writeFileSync(join(home, 'file'), 'through s3curl');
  await shell(`${s3curl} --id=lab --put=file -- http://$HOST/$B/file`);
  assert.is(readFileSync(join(path, 'file'), 'utf8'), 'through s3curl');
  assert.is((await shell(`${s3curl} --id=lab -- http://$HOST/$B/old`)).stdout, 'older');
});

when('aws')('aws s3 sync to another bucket and back into the directory, then s3dsbucket sync', async () => {
  const env = {
    ...process.env,
    HOME: tempDir(),
    AWS_ACCESS_KEY_ID: gateway.accessKey,
    AWS_SECRET_ACCESS_KEY: gateway.secretKey,
    AWS_DEFAULT_REGION: 'osakau',
    AWS_PAGER: '',
  };
  const aws = (...args: string[]) => mustRun('aws', [`--endpoint-url=${gateway.endpoint}`, ...args], { env });
  const path = await makeBucket('source');
  const back = await makeBucket('target');
  for (let i = 0; i < 5; i++) {
    mkdirSync(join(path, `run${i}`));
    writeFileSync(join(path, `run${i}/結果 ${i}.nc`), `result ${i}`);
  }
  await aws('s3', 'mb', 's3://between');
  await aws('s3', 'sync', `${path}/`, 's3://between/');
  // Through the file door of the other bucket, then its sync.
  await aws('s3', 'sync', 's3://between/', `${back}/`);
  const sync = ['sync', '-k', gateway.accessKey, '-b', 'target'];
  const ran = JSON.parse(await command('s3dsbucket', [...sync, '--json'], gateway.root));
  assert.equal([ran.state, ran.counts.added, ran.counts.errors], ['done', 5, 0]);
  const { ETag } = JSON.parse(
    (await aws('s3api', 'head-object', '--bucket', 'target', '--key', 'run3/結果 3.nc')).stdout,
  );
  assert.is(ETag, `"${md5('result 3')}"`);
  await aws('s3', 'sync', 's3://between/', `${back}/`);
  const again = JSON.parse(await command('s3dsbucket', [...sync, '--json'], gateway.root));
  assert.equal([again.counts.added, again.counts.updated, again.counts.unchanged], [0, 0, 5]);
});

test.run();
