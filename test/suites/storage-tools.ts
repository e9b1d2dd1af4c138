/** Bodies, seals and readers for the tests of a `Storage`. */
import { createHash } from 'node:crypto';
import * as assert from 'uvu/assert';
import type { ObjectMeta } from '../../acl/metadata/types.js';
import { type ErrorCode, S3Error } from '../../gateway/errors.js';
import type {
  Body,
  ObjectInfo,
  OpenObject,
  Part,
  Place,
  PutRequest,
  Received,
  Storage,
  Upload,
  WriteCondition,
} from '../../gateway/storage/types.js';

export const md5 = (bytes: Uint8Array | string): string => createHash('md5').update(bytes).digest('hex');
export const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');

/** Bytes that are not the same anywhere, and the same for the same seed. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0, state = seed; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

export interface BodyOptions {
  /** Bytes a chunk. */
  chunk?: number;
  /** Do not tell the length. */
  unknown?: boolean;
  /** Rejects with this when so many bytes were delivered. */
  fail?: { after: number; error: unknown };
}

/** A payload, delivered in chunks that are overwritten as soon as they are taken. */
export function bodyOf(content: Uint8Array | string, { chunk = 1 << 16, unknown, fail }: BodyOptions = {}): Body {
  const bytes = Buffer.from(content as Uint8Array);
  return {
    length: unknown ? undefined : bytes.length,
    async read(sink) {
      const scratch = Buffer.alloc(chunk);
      for (let at = 0; at < bytes.length; at += chunk) {
        if (fail && at >= fail.after) throw fail.error;
        const size = bytes.copy(scratch, 0, at, at + chunk);
        await sink(scratch.subarray(0, size));
        scratch.fill(0xee);
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (fail) throw fail.error;
    },
  };
}

export const metaOf = (received: Received, rest: Partial<ObjectMeta> = {}): ObjectMeta => ({
  etag: hex(received.digests.md5),
  headers: {},
  user: {},
  ...rest,
});

export const request = (rest: Partial<ObjectMeta> = {}, condition?: WriteCondition): PutRequest => ({
  digests: ['md5'],
  seal: (received) => metaOf(received, rest),
  ...(condition && { condition }),
});

export const put = (
  storage: Pick<Storage, 'put'>,
  at: Place,
  key: string,
  content: Uint8Array | string = key,
  rest?: Partial<ObjectMeta>,
  condition?: WriteCondition,
): Promise<ObjectInfo> => storage.put(at, key, bodyOf(content), request(rest, condition));

export async function readFrom(object: OpenObject, start = 0, length = object.info.size - start): Promise<Buffer> {
  const chunks: Buffer[] = [];
  // A copy, as the contract says: the chunk is used again.
  await object.read(start, length, async (chunk) => {
    chunks.push(Buffer.from(chunk));
    await Promise.resolve();
  });
  return Buffer.concat(chunks);
}

export async function get(storage: Storage, at: Place, key: string): Promise<Buffer> {
  const object = await storage.open(at, key);
  try {
    return await readFrom(object);
  } finally {
    await object.close();
  }
}

export const keysOf = async (storage: Storage, at: Place): Promise<string[]> => {
  const page = await storage.list(at, { prefix: '', delimiter: '', after: '', limit: 1000 });
  return page.objects.map(({ key }) => key);
};

/** That it rejects with an `S3Error` of this code, which is returned. */
export async function refused(promise: Promise<unknown>, code: ErrorCode, what = ''): Promise<S3Error> {
  let error: unknown;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  assert.ok(error !== undefined, `${what} should have been refused with ${code}`);
  if (!(error instanceof S3Error)) throw error;
  assert.is(error.code, code, `${what} ${error.message}`);
  return error;
}

export const newUpload = async (storage: Storage, at: Place, key: string): Promise<Upload> =>
  storage.createUpload(at, key, {
    meta: { headers: { contentType: 'text/plain' }, user: { colour: 'blue' }, tags: { a: '1' }, acl: '[1,"x"]' },
    checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT' },
    initiator: 'the-initiator',
  });

export const putPart = (
  storage: Storage,
  at: Place,
  { key, id }: Upload,
  number: number,
  content: Uint8Array,
): Promise<Part> =>
  storage.putPart(at, key, id, number, bodyOf(content), {
    digests: ['md5', 'crc32'],
    seal: ({ digests }) => ({
      etag: hex(digests.md5),
      checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT', value: Buffer.from(digests.crc32!).toString('base64') },
    }),
  });

export const wholeList = { prefix: '', delimiter: '', keyMarker: '', uploadIdMarker: '', limit: 1000 };

/** Canonical id of the account that owns the buckets. */
export const owner = '0f0f0f0f-1111-4222-8333-444455556666';
