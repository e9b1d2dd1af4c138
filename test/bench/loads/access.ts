/** What permission costs: presigned URLs, a bucket with an ACL and a policy, and the verification alone. */
import { join } from 'node:path';
import type { authenticate as Authenticate } from '../../../gateway/auth/authenticate.js';
import type { AuthInput } from '../../../gateway/auth/types.js';
import { parseTarget } from '../../../gateway/http/target.js';
import { signV4, wireRequest } from '../../auth/signer.js';
import { ask, type Subject } from '../gateway.js';
import { bucketName, gets, metadata, numbered, objects, once } from '../ground.js';
import { limits } from '../limits.js';
import { absolute, type Bench, measure } from '../measure.js';
import { rawHttp } from '../references.js';
import { median } from '../row.js';
import { presignedCall, type Target } from '../signed.js';
import type { Call } from '../wire.js';
import { blast } from '../wrk.js';

/** Twenty statements with patterns and conditions; the last one lets in. */
function policy(name: string): string {
  const statements = Array.from({ length: 20 }, (_, at) => ({
    Effect: at % 5 === 4 ? 'Deny' : 'Allow',
    Principal: '*',
    Action: ['s3:GetObject', 's3:PutObject'],
    Resource: [`arn:aws:s3:::${name}/project-${at}/*`, `arn:aws:s3:::${name}/*/${at}.nc`],
    Condition: {
      IpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '2001:db8::/32'] },
      StringLike: { 'aws:UserAgent': ['*boto*', `agent-${at}/*`] },
    },
  }));
  return JSON.stringify({ Version: '2012-10-17', Statement: statements });
}

export async function access(bench: Bench): Promise<void> {
  const { seconds, objects: count } = bench.scale;
  const keys = numbered('s1024-', count);
  const read = (load: string, calls: (subject: Subject) => Promise<Call[]>) =>
    measure(bench, {
      load,
      unit: 'op/s',
      durability: 'full',
      per: 'us/op',
      async ready(subject) {
        const made = await calls(subject);
        return () => blast(subject, made, { connections: 16, seconds });
      },
      compared: async () => [{ to: rawHttp('GET', 1024, 16, seconds) }],
    });
  await read('GET 1 KiB by presigned URL, 16 conn.', async (subject) =>
    (await objects(subject, 'small', keys, 1024)).map((path) => presignedCall(subject, path)),
  );
  await read('GET 1 KiB, bucket with ACL and policy, 16 conn.', async (subject) => {
    const paths = await objects(subject, 'guarded', keys, 1024);
    const full = bucketName('guarded');
    await once(subject, 'guards', async () => {
      await ask(subject, 'PUT', `/${full}`, 'policy=', policy(full));
      await ask(subject, 'PUT', `/${full}`, 'acl=', undefined, { 'x-amz-acl': 'authenticated-read' });
    });
    return gets(subject, paths);
  });
}

/** Microseconds of one verification in this process, the signing key cached. */
export async function verification(bench: Bench): Promise<void> {
  const load = 'verification of a version 4 signature';
  if (!bench.wanted(load)) return;
  const target: Target = { host: '127.0.0.1', port: 9000, accessKey: 'AKIDBENCH', secretKey: 'secret/of+the/bench' };
  const now = Date.now();
  const lookup = async () => target.secretKey;
  // Made before: the copy of an object of input costs a third of what is measured.
  const inputs = Array.from({ length: 1000 }, (_, i): AuthInput => {
    const url = `/bucket/some/prefix/object-${i}.nc`;
    const keys = { accessKey: target.accessKey, secret: target.secretKey, now };
    const asked = { method: 'GET', url, headers: { host: `${target.host}:${target.port}`, ...metadata } };
    const request = wireRequest('GET', url, signV4(asked, keys).headers);
    return { request, target: parseTarget(request, []), headers: request.headers, now, lookup };
  });
  // Of the build that is served.
  const { authenticate } = (await import(join(bench.dist, 'gateway/auth/authenticate.js'))) as {
    authenticate: typeof Authenticate;
  };
  const once = async () => {
    const before = process.cpuUsage();
    for (const input of inputs) if (!(await authenticate(input))) throw new Error('not verified');
    const { user, system } = process.cpuUsage(before);
    return (user + system) / inputs.length;
  };
  for (let warm = 0; warm < 40; warm++) await once();
  const times: number[] = [];
  for (let i = 0; i < 20; i++) times.push(await once());
  absolute(bench, load, median(times), 'us', limits.verification);
}

/** From the start of the process to the first answer. */
export async function startup(bench: Bench): Promise<void> {
  const load = 'start to first answer';
  if (!bench.wanted(load)) return;
  const times: number[] = [];
  for (let i = 0; i < bench.scale.rounds; i++) times.push(await bench.host.timeStart());
  absolute(bench, load, median(times), 's', limits.start);
}
