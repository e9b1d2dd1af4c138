/** What a gateway meets in a soak: everything that clients and jobs do, bounded in names and bytes, so that nothing need grow. */
import { createHash } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { signedHeaders, type Target } from './signed.js';

const KiB = 1024;
/** Names of each kind, which are overwritten and deleted again and again. */
const NAMES = 200;
/** The owner of what jobs write: that of the benchmark's account. */
const JOB_USER = 60199;

interface Asked {
  method: string;
  path: string;
  query?: string;
  body?: Buffer;
  headers?: Record<string, string>;
  /** Leaves in the middle: of what it sends, or of what it gets. */
  leaves?: boolean;
}

export interface Load {
  /** Does one thing, chosen at random. Rejects with what a right gateway does not answer. */
  step(): Promise<void>;
  /** How often what was done. */
  counts: ReadonlyMap<string, number>;
  /** Closes the connections. */
  close(): void;
}

/** @param directory of the bucket, for jobs */
export function createLoad(target: Target, bucket: string, directory: string, random: () => number): Load {
  const agent = new Agent({ keepAlive: true });
  const counts = new Map<string, number>();
  const below = (limit: number): number => Math.floor(random() * limit);
  const anyOf = (kind: string): string => `/${bucket}/${kind}/k${below(NAMES)}`;

  /** Status and text of the answer; status 0 when it was left. */
  const ask = ({ method, path, query = '', body, headers = {}, leaves = false }: Asked) =>
    new Promise<{ status: number; text: string; headers: IncomingMessage['headers'] }>((resolve, reject) => {
      const { host, port } = target;
      const left = () => resolve({ status: 0, text: '', headers: {} });
      const sent = { ...headers, 'content-length': `${body?.length ?? 0}` };
      const signed = signedHeaders(target, { method, path, query, headers: sent });
      // What is done to a signed request afterwards.
      if (headers['authorization'] !== undefined) signed['authorization'] = headers['authorization'];
      const asking = request({ agent, host, port, method, path: query ? `${path}?${query}` : path, headers: signed });
      asking.on('error', leaves ? left : reject);
      asking.on('response', (answer) => {
        const pieces: Buffer[] = [];
        answer.on('error', leaves ? left : reject);
        answer.on('data', (piece: Buffer) => {
          if (leaves) {
            asking.destroy();
            left();
          } else if (answer.statusCode !== 200 || answer.headers['content-type'] === 'application/xml')
            pieces.push(piece);
        });
        answer.on('end', () =>
          resolve({ status: answer.statusCode!, text: `${Buffer.concat(pieces)}`, headers: answer.headers }),
        );
      });
      if (!leaves || !body) {
        asking.end(body);
        return;
      }
      asking.write(body.subarray(0, body.length >> 1), () => setTimeout(() => asking.destroy(), 5));
    });
  const expect = async (asked: Asked, ...statuses: number[]) => {
    const answer = await ask(asked);
    if (!statuses.includes(answer.status))
      throw new Error(
        `${asked.method} ${asked.path}?${asked.query ?? ''}: ${answer.status} ${answer.text.slice(0, 300)}`,
      );
    return answer;
  };
  const put = (size: number) => expect({ method: 'PUT', path: anyOf('o'), body: Buffer.alloc(size, 'x') }, 200);

  const multipart = async (): Promise<void> => {
    const path = anyOf('m');
    const { text } = await expect({ method: 'POST', path, query: 'uploads=' }, 200);
    const id = /<UploadId>([^<]+)</.exec(text)?.[1];
    if (id === undefined) throw new Error(`no upload id: ${text}`);
    const upload = `uploadId=${encodeURIComponent(id)}`;
    const part = { method: 'PUT', path, query: `partNumber=1&${upload}`, body: Buffer.alloc(below(512 * KiB), 'p') };
    const { headers } = await expect(part, 200);
    if (below(3) > 0) return void (await expect({ method: 'DELETE', path, query: upload }, 204));
    const document = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${headers.etag}</ETag></Part></CompleteMultipartUpload>`;
    await expect({ method: 'POST', path, query: upload, body: Buffer.from(document) }, 200);
  };

  const refused = async (): Promise<void> => {
    const body = Buffer.alloc(below(300 * KiB), 'r');
    const wrong = createHash('md5').update('something else').digest('base64');
    await expect({ method: 'PUT', path: anyOf('o'), body, headers: { 'content-md5': wrong } }, 400);
    await expect({ method: 'GET', path: anyOf('o'), headers: { authorization: 'AWS nobody:nothing' } }, 400, 403);
    await expect({ method: 'GET', path: `/${bucket}/nothing` }, 404);
    await expect({ method: 'PUT', path: `/${bucket}-away/k`, body }, 404);
  };

  const job = async (): Promise<void> => {
    const place = join(directory, 'job');
    if (!existsSync(place)) mkdirSync(place, { recursive: true });
    const file = join(place, `k${below(NAMES)}`);
    if (below(4) === 0) rmSync(file, { force: true });
    else {
      writeFileSync(file, Buffer.alloc(below(64 * KiB), 'j'));
      if (process.getuid?.() === 0) chownSync(file, JOB_USER, JOB_USER);
    }
  };

  const steps: Record<string, [weight: number, step: () => Promise<unknown>]> = {
    'small PUT': [20, () => put(below(64 * KiB))],
    'PUT in pieces': [4, () => put(128 * KiB + below(2048 * KiB))],
    GET: [25, () => expect({ method: 'GET', path: anyOf('o') }, 200, 404)],
    range: [
      8,
      () => expect({ method: 'GET', path: anyOf('o'), headers: { range: `bytes=${below(5000)}-` } }, 206, 404, 416),
    ],
    HEAD: [12, () => expect({ method: 'HEAD', path: anyOf(below(2) === 0 ? 'o' : 'job') }, 200, 404)],
    LIST: [
      4,
      () =>
        expect(
          {
            method: 'GET',
            path: `/${bucket}`,
            query: `list-type=2&max-keys=${1 + below(400)}&prefix=${below(2) ? 'o%2F' : ''}`,
          },
          200,
        ),
    ],
    DELETE: [8, () => expect({ method: 'DELETE', path: anyOf('o') }, 204)],
    multipart: [3, multipart],
    'upload left': [
      3,
      () => ask({ method: 'PUT', path: anyOf('o'), body: Buffer.alloc(below(1024 * KiB) + 2, 'l'), leaves: true }),
    ],
    'download left': [3, () => ask({ method: 'GET', path: `/${bucket}/large`, leaves: true })],
    refused: [4, refused],
    job: [6, job],
  };
  const total = Object.values(steps).reduce((sum, [weight]) => sum + weight, 0);

  return {
    counts,
    async step() {
      let at = below(total);
      for (const [name, [weight, step]] of Object.entries(steps)) {
        at -= weight;
        if (at >= 0) continue;
        await step();
        counts.set(name, (counts.get(name) ?? 0) + 1);
        return;
      }
    },
    close: () => agent.destroy(),
  };
}
