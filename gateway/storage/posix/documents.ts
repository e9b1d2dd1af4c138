/** The small JSON documents of the service area `<root>/.tidegate/` (accounts, keys, buckets), shared by every process. */
import { isDeepStrictEqual } from 'node:util';
import { S3Error } from '../../errors.js';
import { freeze } from '../frozen.js';
import type { DocumentKind, Documents } from '../types.js';
import type { documentOps } from './documents-ops.js';
import { watchDocuments } from './documents-watch.js';
import { createMounts, type Mounts } from './mounts.js';
import type { Pool } from './pool-types.js';

export interface DocumentsOptions {
  /** Hears of files that are no documents. */
  warn?: (message: string) => void;
  /** How long `update` waits for the lock of its kind before SlowDown. */
  lockMs?: number;
  mounts?: Pick<Mounts, 'at'>;
}

interface Cached {
  stamp: string;
  /** Frozen, since everybody who asks gets the same. */
  value: unknown;
  /** Of `performance.now()`: until then it is what lies there, unless the watch tells of a change. */
  holds: number;
}

/** A look that a worker is at. */
interface Look {
  kind: string;
  id: string;
  /** Something happened to the document meanwhile. */
  changed: boolean;
}

type Lock = ReturnType<typeof documentOps.documentLock>;

/**
 * So long what was read is believed where a watch tells of changes: it watches the directory, and cannot tell that another
 * one was put in the place of the whole area, as when a backup is restored.
 */
const HOLDS_MS = 1_000;

/** `.json` has to fit into a name of 255 bytes as well. */
const ID = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,249}$/;

const parse = (kind: string, id: string, text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new S3Error('InternalError', { message: `The document ${kind}/${id} of the service is damaged.`, cause });
  }
};

export const createDocuments = (root: string, pool: Pick<Pool, 'run'>, options: DocumentsOptions = {}): Documents => {
  const { warn = () => {}, lockMs = 10_000, mounts = createMounts() } = options;
  const area = `${root.replace(/\/+$/, '')}/.tidegate`;
  const cache = new Map<string, Map<string, Cached>>();
  const warned = new Set<string>();
  /** Updates of one process queue here instead of fighting over the lock. */
  const turns = new Map<string, Promise<unknown>>();

  const ofKind = (kind: string): Map<string, Cached> => {
    const found = cache.get(kind);
    if (found) return found;
    const made = new Map<string, Cached>();
    cache.set(kind, made);
    return made;
  };

  const accept = (kind: string, id: string, stamp: string, text: string): Cached => {
    const cached = { stamp, value: freeze(parse(kind, id, text)), holds: 0 };
    ofKind(kind).set(id, cached);
    return cached;
  };

  const underWay = new Set<Look>();
  const changed = (kind: string, id: string | undefined): void => {
    const concerns = id === undefined ? [...ofKind(kind).values()] : [ofKind(kind).get(id)];
    for (const cached of concerns) if (cached) cached.holds = 0;
    for (const each of underWay) each.changed ||= each.kind === kind && (id === undefined || each.id === id);
  };
  const watch = watchDocuments(area, () => mounts.at(area).types, changed);

  const look = async (kind: DocumentKind, id: string, posted: () => void): Promise<unknown> => {
    const known = ofKind(kind).get(id);
    const watched = watch.begin(kind);
    const mine: Look = { kind, id, changed: false };
    underWay.add(mine);
    try {
      const document = await pool.run('documentGet', [area, kind, id, known?.stamp ?? ''], { posted });
      if (!document) {
        ofKind(kind).delete(id);
        return undefined;
      }
      const cached = document.text === undefined ? known! : accept(kind, id, document.stamp, document.text);
      watch.catchUp();
      if (watched && !mine.changed) cached.holds = performance.now() + HOLDS_MS;
      return cached.value;
    } finally {
      underWay.delete(mine);
    }
  };

  /** What is known of a document that has not changed since it was looked at. */
  const unchanged = (kind: string, id: string): Cached | undefined => {
    const known = ofKind(kind).get(id);
    if (!known || known.holds <= performance.now()) return undefined;
    watch.catchUp();
    return known.holds > 0 ? known : undefined;
  };
  /** Looks that no worker has yet: they answer everybody who asks until then. */
  const looks = new Map<string, Promise<unknown>>();

  const checkId = (id: string): void => {
    if (!ID.test(id)) throw new S3Error('InvalidArgument', { message: `No id of a document: ${JSON.stringify(id)}` });
  };

  /** A lock that is not given back would shut out all processes. */
  const replace = (kind: string, id: string, held: number, text: string | null | undefined): Promise<void> =>
    pool.run('documentReplace', [area, kind, id, held, text], { surely: true });

  const lock = async (kind: string, id: string): Promise<Exclude<Lock, false>> => {
    const until = Date.now() + lockMs;
    for (let pause = 1; ; pause = Math.min(16, pause * 2)) {
      const taken = await pool.run('documentLock', [area, kind, id], {
        orphan: (late) => {
          if (late) replace(kind, id, (late as Exclude<Lock, false | undefined>).lock, undefined).catch(() => {});
        },
      });
      if (taken !== false) return taken;
      if (Date.now() > until) throw new S3Error('SlowDown');
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
    }
  };

  const update = async <T>(
    kind: DocumentKind,
    id: string,
    change: (current: T) => T | undefined,
  ): Promise<T | undefined> => {
    const held = await lock(kind, id);
    if (!held) return undefined;
    let current: T;
    let after: T | undefined;
    let text: string | null | undefined;
    try {
      current = parse(kind, id, held.text) as T;
      after = change(structuredClone(current));
      text = after === undefined ? null : isDeepStrictEqual(current, after) ? undefined : serialize(after);
    } catch (error) {
      await replace(kind, id, held.lock, undefined);
      throw error;
    }
    await replace(kind, id, held.lock, text);
    return after === undefined ? undefined : structuredClone(after);
  };

  return {
    get: <T>(kind: DocumentKind, id: string) => {
      const known = unchanged(kind, id);
      if (known) return Promise.resolve(known.value as T);
      if (!ID.test(id)) return Promise.resolve(undefined);
      const name = `${kind}/${id}`;
      const waiting = looks.get(name);
      if (waiting) return waiting as Promise<T | undefined>;
      const made = look(kind, id, () => looks.delete(name)).finally(() => {
        // Refused before any worker had it.
        if (looks.get(name) === made) looks.delete(name);
      });
      looks.set(name, made);
      return made as Promise<T | undefined>;
    },
    create: async (kind, id, value) => {
      checkId(id);
      return pool.run('documentCreate', [area, kind, id, serialize(value)]);
    },
    update: async <T>(kind: DocumentKind, id: string, change: (current: T) => T | undefined) => {
      checkId(id);
      const before = turns.get(kind);
      const mine = (async () => {
        await before?.catch(() => {});
        return update(kind, id, change);
      })();
      turns.set(kind, mine);
      try {
        return await mine;
      } finally {
        if (turns.get(kind) === mine) turns.delete(kind);
      }
    },
    list: async <T>(kind: DocumentKind) => {
      const before = new Map(ofKind(kind));
      const known = new Map([...before].map(([id, { stamp }]) => [id, stamp]));
      const { found, bad } = await pool.run('documentList', [area, kind, known]);
      const values: { id: string; value: T }[] = [];
      for (const { id, stamp, text } of found) {
        try {
          const value = text === undefined ? before.get(id)!.value : accept(kind, id, stamp, text).value;
          values.push({ id, value: value as T });
        } catch {
          bad.push(`${id}.json`);
        }
      }
      for (const name of bad) {
        const path = `${kind}/${name}`;
        if (warned.has(path)) continue;
        warned.add(path);
        warn(`${area}/${path} is not a document: left out`);
      }
      // Ids are ASCII: the order of code units is that of bytes.
      return values.sort((a, b) => (a.id < b.id ? -1 : 1));
    },
  };
};

const serialize = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
