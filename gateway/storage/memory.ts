/**
 * A store in memory, for tests and trials: the same rules of keys, conflicts and conditions as the one over a
 * filesystem, nothing of its durability. Bodies are held whole.
 */
import type { ObjectMeta } from '../../acl/metadata/types.js';
import { S3Error } from '../errors.js';
import { checkWrite, requireSame } from './condition.js';
import { createDigests, loadDigests } from './digest.js';
import { writeElements } from './elements.js';
import { freeze } from './frozen.js';
import { assertStorableKey, compareUtf8, fromBytes, parentsOf, toBytes } from './keys.js';
import { listPage, sortedCursor } from './listing.js';
import { createMemoryUploads, type MemoryUploads } from './memory-uploads.js';
import type {
  Body,
  Bucket,
  Digest,
  Documents,
  ListedObject,
  ObjectInfo,
  OpenObject,
  Place,
  Received,
  Sink,
  Storage,
  WriteCondition,
} from './types.js';

export interface MemoryOptions {
  /** Milliseconds since the epoch: what becomes `lastModified`. */
  now?: () => number;
}

interface Stored {
  info: ObjectInfo;
  /** Never changed once stored, so an open object keeps what it opened. */
  bytes: Buffer;
}

interface Room {
  bucket: Bucket;
  objects: Map<string, Stored>;
  uploads: MemoryUploads;
  /** Keys as sorted byte strings; dropped when a key comes or goes. */
  sorted: string[] | undefined;
}

const chunkBytes = 1 << 16;

export function createMemoryStorage(options: MemoryOptions = {}): Storage {
  const now = options.now ?? Date.now;
  const rooms = new Map<string, Room>();

  const roomOf = ({ name }: Bucket): Room => {
    const room = rooms.get(name);
    if (!room) throw new S3Error('NoSuchBucket');
    return room;
  };
  const find = (place: Place, key: string): Stored => {
    const stored = roomOf(place.bucket).objects.get(key);
    if (!stored) throw new S3Error('NoSuchKey');
    return stored;
  };
  const keysOf = (room: Room): string[] => (room.sorted ??= [...room.objects.keys()].map(toBytes).sort());

  /** The last step of every write, in one turn of the event loop: so it is atomic. */
  const publish = (
    place: Place,
    key: string,
    bytes: Buffer,
    meta: ObjectMeta,
    condition: WriteCondition | undefined,
  ): ObjectInfo => {
    const room = roomOf(place.bucket);
    assertNoConflict(room.objects, keysOf(room), key);
    const current = room.objects.get(key)?.info;
    checkWrite(condition, current && { ...current, etag: current.meta.etag });
    const info: ObjectInfo = { key, size: bytes.length, lastModified: now(), meta: structuredClone(meta) };
    if (!current) room.sorted = undefined;
    room.objects.set(key, { info, bytes });
    return structuredClone(info);
  };

  return {
    documents: createMemoryDocuments(),

    async createBucket({ name, owner, directory, config = {} }, _actor) {
      if (rooms.has(name)) throw new S3Error('BucketAlreadyExists');
      const path = directory ?? `/memory/${owner}/${name}`;
      const bucket: Bucket = { name, owner, path, created: new Date(now()).toISOString(), config: { ...config } };
      rooms.set(name, { bucket, objects: new Map(), uploads: createMemoryUploads(), sorted: undefined });
      return structuredClone(bucket);
    },
    async bucket(name) {
      return structuredClone(rooms.get(name)?.bucket);
    },
    async listBuckets() {
      const all = [...rooms.values()].map(({ bucket }) => structuredClone(bucket));
      return all.sort((a, b) => compareUtf8(a.name, b.name));
    },
    async deleteBucket({ bucket }) {
      if (roomOf(bucket).objects.size > 0) throw new S3Error('BucketNotEmpty');
      rooms.delete(bucket.name);
    },
    async putConfig(bucket, kind, text) {
      const { config, created, owner } = roomOf(bucket).bucket;
      if (created !== bucket.created || owner !== bucket.owner) throw new S3Error('NoSuchBucket');
      const after = typeof text === 'function' ? text(config[kind]) : text;
      if (after === undefined) delete config[kind];
      else config[kind] = after;
    },

    async head(at, key) {
      return structuredClone(find(at, key).info);
    },
    async open(at, key) {
      const { info, bytes } = find(at, key);
      return openBytes(structuredClone(info), bytes);
    },
    async put(at, key, body, { digests, seal, condition }) {
      assertStorableKey(key);
      roomOf(at.bucket);
      const { bytes, received } = await collect((sink) => body.read(sink), digests, body);
      return publish(at, key, bytes, seal(received), condition);
    },
    async copy(source, at, key, { digests, seal, condition }) {
      assertStorableKey(key);
      roomOf(at.bucket);
      const { bytes, received } = await collect((sink) => source.read(0, source.info.size, sink), digests);
      return publish(at, key, bytes, seal(received), condition);
    },
    async remove(at, key, condition) {
      const room = roomOf(at.bucket);
      const current = room.objects.get(key)?.info;
      if (!current) return false;
      checkWrite(condition, { ...current, etag: current.meta.etag });
      room.objects.delete(key);
      room.sorted = undefined;
      return true;
    },
    async updateMeta(at, key, { tags, acl, of }) {
      const stored = find(at, key);
      requireSame(of, stored.info.meta);
      if (tags === null) delete stored.info.meta.tags;
      else if (tags) stored.info.meta.tags = structuredClone(tags);
      if (acl === null) delete stored.info.meta.acl;
      else if (acl !== undefined) stored.info.meta.acl = acl;
      return structuredClone(stored.info);
    },
    async list(at, request) {
      const room = roomOf(at.bucket);
      const cursor = sortedCursor(keysOf(room), (key) => listed(room.objects.get(fromBytes(key))));
      return listPage(cursor, request);
    },
    async listElements(at, request, form) {
      return writeElements(await this.list(at, request), form);
    },

    async createUpload(at, key, upload) {
      assertStorableKey(key);
      return roomOf(at.bucket).uploads.create(key, upload);
    },
    async upload(at, key, id) {
      return roomOf(at.bucket).uploads.get(key, id);
    },
    async putPart(at, key, id, number, body, { digests, seal }) {
      roomOf(at.bucket).uploads.get(key, id);
      const { bytes, received } = await collect((sink) => body.read(sink), digests, body);
      const part = { ...seal(received), number, size: bytes.length, lastModified: now() };
      return roomOf(at.bucket).uploads.putPart(key, id, part, bytes);
    },
    async copyPart(source, { start, length }, at, key, id, number, { digests, seal }) {
      roomOf(at.bucket).uploads.get(key, id);
      const { bytes, received } = await collect((sink) => source.read(start, length, sink), digests);
      const part = { ...seal(received), number, size: bytes.length, lastModified: now() };
      return roomOf(at.bucket).uploads.putPart(key, id, part, bytes);
    },
    async listParts(at, key, id, after, limit) {
      return roomOf(at.bucket).uploads.listParts(key, id, after, limit);
    },
    async listUploads(at, request) {
      return roomOf(at.bucket).uploads.list(request);
    },
    async completeUpload(at, key, id, parts, meta, condition) {
      const { uploads } = roomOf(at.bucket);
      const info = publish(at, key, uploads.join(key, id, parts), meta, condition);
      uploads.remove(key, id);
      return info;
    },
    async abortUpload(at, key, id) {
      roomOf(at.bucket).uploads.remove(key, id);
    },

    async close() {},
  };
}

/** As on a filesystem, where one name is a file or a directory, never both. */
function assertNoConflict(objects: ReadonlyMap<string, unknown>, sorted: readonly string[], key: string): void {
  const file = key.endsWith('/') ? key.slice(0, -1) : undefined;
  for (const parent of file === undefined ? parentsOf(key) : [...parentsOf(key), file]) {
    if (objects.has(parent)) {
      throw new S3Error('KeyConflict', {
        message: `A file stands where the key needs a directory: "${parent}" is an object`,
      });
    }
  }
  if (file !== undefined) return;
  const cursor = sortedCursor(sorted, () => undefined);
  const below = toBytes(`${key}/`);
  cursor.seek(below, true);
  if (cursor.next()?.startsWith(below)) {
    throw new S3Error('KeyConflict', { message: `A directory with objects stands at this name: "${key}/"` });
  }
}

async function collect(
  deliver: (sink: Sink) => Promise<void>,
  digests: readonly Digest[],
  body?: Body,
): Promise<{ bytes: Buffer; received: Received }> {
  await loadDigests();
  const running = createDigests(digests);
  const chunks: Buffer[] = [];
  let size = 0;
  await deliver((chunk) => {
    running.update(chunk);
    // A copy: the caller reuses its chunk.
    chunks.push(Buffer.from(chunk));
    size += chunk.length;
  });
  if (body?.length !== undefined && body.length !== size) throw new S3Error('IncompleteBody');
  return { bytes: Buffer.concat(chunks, size), received: { size, digests: running.finish() } };
}

function openBytes(info: ObjectInfo, bytes: Buffer): OpenObject {
  return {
    info,
    async read(start, length, sink) {
      if (start < 0 || length < 0 || start + length > bytes.length)
        throw new RangeError('beyond the end of the object');
      for (let at = start; at < start + length; at += chunkBytes) {
        await sink(Buffer.from(bytes.subarray(at, Math.min(at + chunkBytes, start + length))));
      }
    },
    async close() {},
  };
}

function listed(stored: Stored | undefined): ListedObject | undefined {
  if (!stored) return undefined;
  const { key, size, lastModified, meta } = stored.info;
  return {
    key,
    size,
    lastModified,
    etag: meta.etag,
    ...(meta.owner !== undefined && { owner: meta.owner }),
    ...(meta.checksum && { checksum: { algorithm: meta.checksum.algorithm, type: meta.checksum.type } }),
  };
}

function createMemoryDocuments(): Documents {
  const kinds = new Map<string, Map<string, string>>();
  const kindOf = (kind: string) => {
    let documents = kinds.get(kind);
    if (!documents) {
      documents = new Map();
      kinds.set(kind, documents);
    }
    return documents;
  };
  const parse = (text: string | undefined) => (text === undefined ? undefined : freeze(JSON.parse(text)));
  return {
    async get(kind, id) {
      return parse(kindOf(kind).get(id));
    },
    async create(kind, id, value) {
      if (kindOf(kind).has(id)) return false;
      kindOf(kind).set(id, JSON.stringify(value));
      return true;
    },
    async update(kind, id, change) {
      const current = kindOf(kind).get(id);
      if (current === undefined) return undefined;
      const changed = change(JSON.parse(current));
      if (changed === undefined) kindOf(kind).delete(id);
      else kindOf(kind).set(id, JSON.stringify(changed));
      return parse(kindOf(kind).get(id));
    },
    async list(kind) {
      return [...kindOf(kind)].sort(([a], [b]) => compareUtf8(a, b)).map(([id, text]) => ({ id, value: parse(text) }));
    },
  };
}
