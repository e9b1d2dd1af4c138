/** Requests for handlers without HTTP: a `Context` over the store in memory. */
import { createHash, randomUUID } from 'node:crypto';
import type { Account, Identity } from '../../acl/identity.js';
import { S3Error } from '../../gateway/errors.js';
import type { QueryParam } from '../../gateway/http/types.js';
import type { Context, Handler, Reply, XmlValue } from '../../gateway/s3/types.js';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import type { Actor, Body, Storage } from '../../gateway/storage/types.js';

export const actor: Actor = { uid: 1000, gid: 1000, groups: [] };

export const account: Account = {
  uuid: '7c6f2a5e-0000-4000-8000-000000000001',
  displayName: 'Ann',
  group: 'g',
  kind: 'user',
  actor,
  fspaths: [],
  enabled: true,
  created: '2026-01-01T00:00:00.000Z',
};

export interface Given {
  key?: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** The length is not declared (`Transfer-Encoding: chunked`). */
  chunked?: boolean;
  trailers?: Record<string, string>;
  /** The SHA-256 that the signature promises; `true`: the true one. */
  signed?: string | true;
  anonymous?: boolean;
  form?: Context['form'];
}

export interface World {
  storage: Storage;
  /** Runs a handler as a request to bucket `b` would. */
  call(handler: Handler, given?: Given): Promise<Reply>;
}

/** A store with the buckets `b` and `other`, both of `account`; a bucket `foreign` that it may not read. */
export async function createWorld(): Promise<World> {
  const storage = createMemoryStorage();
  for (const name of ['b', 'other', 'foreign']) await storage.createBucket({ name, owner: account.uuid }, actor);
  const placeOf = async (name: string) => {
    const bucket = await storage.bucket(name);
    if (!bucket) throw new S3Error('NoSuchBucket');
    if (name === 'foreign') throw new S3Error('AccessDenied');
    return { bucket, actor };
  };
  return {
    storage,
    async call(handler, given = {}) {
      const bytes = typeof given.body === 'string' ? Buffer.from(given.body) : (given.body ?? new Uint8Array());
      const headers = new Map(Object.entries(given.headers ?? {}));
      if (given.chunked) headers.set('transfer-encoding', 'chunked');
      else if (given.body !== undefined) headers.set('content-length', String(bytes.length));
      const trailers = new Map<string, string>();
      const body = bodyOf(bytes, given, () => {
        for (const [name, value] of Object.entries(given.trailers ?? {})) trailers.set(name, value);
      });
      const params = Object.entries(given.query ?? {}).map(
        ([name, value]): QueryParam => ({ name, value, rawName: name, rawValue: value }),
      );
      const identity: Identity = given.anonymous
        ? { account: undefined, accessKey: undefined }
        : { account, accessKey: 'AK' };
      const reply = await handler({
        storage,
        identity,
        headers,
        query: {
          params,
          get: (name) => params.find((param) => param.name === name)?.value,
          has: (name) => params.some((param) => param.name === name),
        },
        bucketName: 'b',
        key: given.key ?? 'k',
        place: await placeOf('b'),
        otherPlace: placeOf,
        permit: async () => {},
        permitNew: () => {},
        byRole: false,
        isAccount: async (id) => id === account.uuid,
        body,
        ...(given.form && { form: given.form }),
        trailers,
        payloadSha256: given.signed === true ? createHash('sha256').update(bytes).digest('hex') : given.signed,
        now: Date.now(),
        objectUrl: (key) => `http://127.0.0.1:9000/b/${key.split('/').map(encodeURIComponent).join('/')}`,
        requestId: randomUUID(),
        region: 'us-east-1',
        maxBuckets: 100,
        sync: undefined,
        displayName: async (id) => (id === account.uuid ? account.displayName : ''),
      });
      // Work that ends soon is answered as if it had never been slow.
      if (reply.body && 'slowXml' in reply.body) return { ...reply, body: { xml: await reply.body.slowXml } };
      return reply;
    },
  };
}

function bodyOf(bytes: Uint8Array, { chunked, body, form }: Given, finished: () => void): Body {
  return {
    length: chunked || body === undefined || form ? undefined : bytes.length,
    async read(sink) {
      // Small odd pieces, in memory that is reused: what keeps a chunk or misses a boundary shows.
      const piece = Math.max(7, Math.ceil(bytes.length / 5));
      const reused = Buffer.alloc(piece);
      for (let at = 0; at < bytes.length; at += piece) {
        const slice = bytes.subarray(at, at + piece);
        reused.set(slice);
        await sink(reused.subarray(0, slice.length));
        reused.fill(0);
      }
      finished();
    },
  };
}

/** The document of a reply. */
export async function xmlOf(reply: Reply): Promise<Record<string, XmlValue>> {
  const { body } = reply;
  if (body && 'xml' in body) return body.xml;
  throw new Error('no document');
}

/** The bytes of a reply, which is closed afterwards. */
export async function bytesOf(reply: Reply): Promise<Buffer> {
  const { body } = reply;
  if (!body || !('send' in body)) throw new Error('no bytes');
  const chunks: Buffer[] = [];
  try {
    await body.send((chunk) => {
      chunks.push(Buffer.from(chunk));
    });
  } finally {
    await body.close();
  }
  const bytes = Buffer.concat(chunks);
  if (bytes.length !== body.length) throw new Error(`${bytes.length} bytes in place of ${body.length}`);
  return bytes;
}

/** Asserts that it fails with this code; gives the error for a closer look. */
export async function fails(code: string, work: Promise<unknown> | (() => unknown)): Promise<S3Error> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (!(error instanceof S3Error)) throw error;
    if (error.code !== code) throw new Error(`${error.code} (${error.message}) in place of ${code}`, { cause: error });
    return error;
  }
  throw new Error(`no failure in place of ${code}`);
}
