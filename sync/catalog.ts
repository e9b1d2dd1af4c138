/**
 * What is known of one bucket: its objects as they were last seen, counted, and the events that are on their way into the
 * feed. An LMDB file in the bucket's sync directory, opened by the bucket's leader alone.
 *
 * It is derived data: when it is lost or damaged a scan makes it again. But what an event was sent for is committed together
 * with the event, so that a process that dies in between sends none twice and forgets none.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { Damaged, isWholeDatabase, PAGE } from './catalog-check.js';
import { openAside, requireDescriptors, requireFiles } from './catalog-open.js';
import { belowDirectory, decodeEntry, encodeEntry, inDirectory, keyOf, placeOf } from './entry-codec.js';
import type { DirBytes, Entry, EventDraft, FeedEvent, KeyBytes, Totals } from './types.js';

/** A directory as it was when all its entries had been looked at. */
export interface DirectoryEntry {
  ino: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

/** Takes effect as a whole or not at all. */
export interface Commit {
  /** Undefined: it is gone. */
  objects?: readonly (readonly [KeyBytes, Entry | undefined])[];
  /** Undefined: it is gone, with those below it. */
  directories?: readonly (readonly [DirBytes, DirectoryEntry | undefined])[];
  /** In their order. */
  events?: readonly EventDraft[];
  /** Small values by name, kept as JSON (positions in inboxes, times of scans). Undefined removes. */
  notes?: Readonly<Record<string, unknown>>;
}

export interface Catalog {
  get(key: KeyBytes): Entry | undefined;
  /**
   * What stands in a directory itself, by name in byte order; '' is the directory object. Values as `entry-codec.ts` has them.
   * What is committed meanwhile may be among it, as with `below`.
   */
  children(dir: DirBytes): IterableIterator<[name: string, value: Buffer]>;
  /** Every object in and below a directory; '' for all. */
  below(dir: DirBytes): IterableIterator<[key: KeyBytes, entry: Entry]>;
  /** Whether an object is known in or below a directory. */
  holds(dir: DirBytes): boolean;
  /** The keys of a file: more than one when it has hard links. */
  keysOf(ino: bigint): KeyBytes[];
  knows(ino: bigint): boolean;
  directory(dir: DirBytes): DirectoryEntry | undefined;
  /** The directories in a directory, by name in byte order, each ending in `/`. */
  subdirectories(dir: DirBytes): string[];
  /** Directories above an object that the catalog does not know as directories, not even as ones not looked at. */
  unknownAbove(key: KeyBytes): DirBytes[];
  /** The same for all objects: a process may have died between what it knew of a directory and what of its objects. */
  unknownDirectories(): DirBytes[];
  note<T>(name: string): T | undefined;
  totals(): Totals;
  /** Of the whole bucket, as it would be counted now: for tests and `check`. */
  count(): Totals;
  /** @returns the events with their places in the feed */
  commit(commit: Commit): FeedEvent[];
  /** Events that were committed and not yet `delivered`, oldest first. */
  outbox(): FeedEvent[];
  /** They are in the feed, up to this one. */
  delivered(seq: number): void;
  /** The last place in the feed that was given; the feed may know of a later one when this catalog is new. */
  lastSeq(): number;
  /** The catalog was just made: nothing is known of the bucket. */
  readonly isNew: boolean;
  /** Resolves when all that was committed is on the disk. */
  flushed(): Promise<void>;
  close(): Promise<void>;
}

/** A file of another version is thrown away and made again. */
const VERSION = 1;
const FILE = 'catalog.mdb';
/** There while the file is open: the next who opens it knows that it was not closed. */
const MARK = 'catalog.open';

/** LMDB's own errors (lmdb.h) that say that the file is none, or not whole. The others are of the system, and pass. */
const damage: ReadonlySet<unknown> = new Set([-30784, -30793, -30794, -30796, -30797]);
/** Whether the catalog has to be made anew, because of what it is and not of what happens around it. */
const isDamage = (error: unknown): boolean =>
  error instanceof Damaged || damage.has((error as { code?: unknown }).code);

/** MDB_BAD_TXN: something has failed before, and everything does from then on. */
const BAD_TXN = -30782;
/** Whether an open catalog has to be closed, and `mendCatalog` to be called then. */
export const isSpoilt = (error: unknown): boolean => isDamage(error) || (error as { code?: unknown }).code === BAD_TXN;

/** Of one that was closed because of an error (`isSpoilt`): it is opened again, or made anew. */
export function mendCatalog(directory: string, error: unknown): void {
  if (isDamage(error) || !isWholeDatabase(join(directory, FILE), true)) removeCatalog(directory);
}

/**
 * Opens the catalog, or makes it; one that is damaged, or of another version, is made anew.
 * @param lastSeq of the feed: a new catalog goes on counting from there
 * @throws errno errors and those of LMDB when it cannot be opened or written now
 */
export function openCatalog(directory: string, lastSeq: number): Catalog {
  const path = join(directory, FILE);
  const mark = join(directory, MARK);
  // What was closed is whole, if nobody else has written to it: then the process may die of it once, and not again and again.
  if (!isWholeDatabase(path, existsSync(mark))) removeCatalog(directory);
  const open = (): Catalog => {
    writeFileSync(mark, '');
    requireFiles(path);
    const catalog = openAside(path, (name) => openFile(name, lastSeq));
    return {
      ...catalog,
      async close() {
        await catalog.close();
        rmSync(mark, { force: true });
      },
    };
  };
  requireDescriptors();
  try {
    return open();
  } catch (error) {
    if (!isDamage(error)) throw error;
    removeCatalog(directory);
    return open();
  }
}

/** Loses nothing but time. Not while a process has it open. */
export function removeCatalog(directory: string): void {
  for (const name of [FILE, `${FILE}-lock`, MARK]) rmSync(join(directory, name), { force: true });
}

/** Entries of a range that are read at once. */
const PIECE = 500;

const parse = <T>(value: Buffer): T => {
  try {
    return JSON.parse(value.toString()) as T;
  } catch (error) {
    throw new Damaged('a value is none', { cause: error });
  }
};

const binary = { keyEncoding: 'binary', encoding: 'binary' } as const;

function openFile(path: string, lastSeq: number): Catalog {
  const root: RootDatabase<Buffer, Buffer> = open({
    path,
    ...binary,
    noSubdir: true,
    maxDbs: 8,
    pageSize: PAGE,
    // Address space only: it grows with the bucket. Remapping while a range is read is what this avoids.
    mapSize: 1 << 30,
  });
  const database = (name: string, dupSort = false): Database<Buffer, Buffer> =>
    root.openDB<Buffer, Buffer>({ name, ...binary, dupSort });
  const objects = database('objects');
  const directories = database('directories');
  const inodes = database('inodes', true);
  const outbox = database('outbox');
  const notes = database('notes');

  const note = <T>(name: string): T | undefined => {
    const value = notes.get(Buffer.from(name));
    return value === undefined ? undefined : parse<T>(value);
  };
  const setNote = (name: string, value: unknown): void => {
    if (value === undefined) notes.removeSync(Buffer.from(name));
    else notes.putSync(Buffer.from(name), Buffer.from(JSON.stringify(value)));
  };

  const version = note<number>('version');
  if (version !== undefined && version !== VERSION) {
    void root.close();
    throw new Damaged(`a catalog of version ${version}`);
  }
  const isNew = version === undefined;
  if (isNew) {
    root.transactionSync(() => {
      setNote('version', VERSION);
      setNote('seq', lastSeq);
      setNote('totals', { objects: 0, bytes: 0 });
    });
  }
  let seq = Math.max(note<number>('seq') ?? 0, lastSeq);
  let totals: Totals = note<Totals>('totals') ?? { objects: 0, bytes: 0 };

  const putObject = (key: KeyBytes, entry: Entry | undefined, counted: Totals): void => {
    const place = placeOf(key);
    const before = objects.get(place);
    const old = before && decodeEntry(before);
    if (old) {
      counted.objects--;
      counted.bytes -= old.size;
    }
    if (old && old.ino !== entry?.ino) inodes.removeSync(inodeKey(old.ino), place);
    if (!entry) {
      if (old) objects.removeSync(place);
      return;
    }
    objects.putSync(place, encodeEntry(entry));
    if (entry.ino !== 0n && entry.ino !== old?.ino) inodes.putSync(inodeKey(entry.ino), place);
    counted.objects++;
    counted.bytes += entry.size;
  };

  /** In pieces: a range that is open keeps every page that was written since, and a look at a large directory takes hours. */
  function* range(from: Database<Buffer, Buffer>, [first, end]: [Buffer, Buffer]): Generator<[Buffer, Buffer]> {
    for (let start = first; ; ) {
      const piece = [...from.getRange({ start, end, limit: PIECE })];
      for (const { key, value } of piece) yield [key, value];
      if (piece.length < PIECE) return;
      start = Buffer.concat([piece.at(-1)!.key, Buffer.of(0)]);
    }
  }

  /** A directory and those below it. */
  const forget = (dir: DirBytes): void => {
    directories.removeSync(directoryPlace(dir));
    for (const [start, end] of [inDirectory(dir), belowDirectory(dir)]) {
      for (const key of [...directories.getKeys({ start, end })]) directories.removeSync(key);
    }
  };

  const unknownAbove = (key: KeyBytes): DirBytes[] => {
    const unknown: DirBytes[] = [];
    for (let end = key.lastIndexOf('/'); end >= 0; end = key.lastIndexOf('/', end - 1)) {
      const dir = key.slice(0, end + 1);
      if (directories.doesExist(directoryPlace(dir))) break;
      unknown.push(dir);
      if (end === 0) break;
    }
    return unknown;
  };

  function* below(dir: DirBytes): Generator<[KeyBytes, Entry]> {
    for (const stretch of [inDirectory(dir), belowDirectory(dir)]) {
      for (const [place, value] of range(objects, stretch)) yield [keyOf(place), decodeEntry(value)];
    }
  }

  return {
    isNew,
    get(key) {
      const value = objects.get(placeOf(key));
      return value && decodeEntry(value);
    },
    *children(dir) {
      const skip = Math.max(dir.length, 1);
      for (const [place, value] of range(objects, inDirectory(dir))) yield [place.toString('latin1', skip), value];
    },
    below,
    holds: (dir) => !below(dir).next().done,
    keysOf: (ino) => [...inodes.getValues(inodeKey(ino))].map(keyOf),
    knows: (ino) => inodes.doesExist(inodeKey(ino)),
    directory(dir) {
      const value = directories.get(directoryPlace(dir));
      return value && decodeDirectory(value);
    },
    subdirectories(dir) {
      const skip = Math.max(dir.length, 1);
      const names: string[] = [];
      for (const [place] of range(directories, inDirectory(dir))) {
        if (place.length > skip) names.push(`${place.toString('latin1', skip)}/`);
      }
      return names;
    },
    unknownAbove,
    unknownDirectories() {
      const unknown = new Set<DirBytes>();
      let last = '';
      for (const place of objects.getKeys()) {
        // Those of one directory are neighbours.
        const dir = place.toString('latin1', 0, place.indexOf(0));
        if (dir === last) continue;
        last = dir;
        for (const each of unknownAbove(`${dir}/`)) unknown.add(each);
      }
      return [...unknown];
    },
    note,
    totals: () => ({ ...totals }),
    count() {
      const counted: Totals = { objects: 0, bytes: 0 };
      for (const [, { size }] of below('')) {
        counted.objects++;
        counted.bytes += size;
      }
      return counted;
    },
    commit(commit) {
      const counted = { ...totals };
      const told: FeedEvent[] = [];
      root.transactionSync(() => {
        for (const [key, entry] of commit.objects ?? []) putObject(key, entry, counted);
        for (const [dir, entry] of commit.directories ?? []) {
          const place = directoryPlace(dir);
          if (entry) directories.putSync(place, encodeDirectory(entry));
          else forget(dir);
        }
        for (const draft of commit.events ?? []) {
          const event = { seq: seq + told.length + 1, ...draft };
          told.push(event);
          outbox.putSync(seqKey(event.seq), Buffer.from(JSON.stringify(event)));
        }
        if (told.length > 0) setNote('seq', seq + told.length);
        for (const [name, value] of Object.entries(commit.notes ?? {})) setNote(name, value);
        setNote('totals', counted);
      });
      // Only now: a transaction that failed has changed nothing.
      totals = counted;
      seq += told.length;
      return told;
    },
    outbox: () => [...outbox.getRange()].map(({ value }) => parse<FeedEvent>(value)),
    delivered(upTo) {
      root.transactionSync(() => {
        for (const key of [...outbox.getKeys({ end: seqKey(upTo + 1) })]) outbox.removeSync(key);
      });
    },
    lastSeq: () => seq,
    flushed: async () => {
      await root.flushed;
    },
    close: () => root.close(),
  };
}

const inodeKey = (ino: bigint): Buffer => {
  const key = Buffer.allocUnsafe(8);
  key.writeBigUInt64BE(ino);
  return key;
};

const seqKey = (seq: number): Buffer => inodeKey(BigInt(seq));

/** As for objects: `a/b/` is `a` NUL `b`, and the bucket's own directory NUL alone. */
const directoryPlace = (dir: DirBytes): Buffer => placeOf(dir.slice(0, -1));

const encodeDirectory = ({ ino, mtimeNs, ctimeNs }: DirectoryEntry): Buffer => {
  const value = Buffer.allocUnsafe(24);
  value.writeBigUInt64LE(ino, 0);
  value.writeBigInt64LE(mtimeNs, 8);
  value.writeBigInt64LE(ctimeNs, 16);
  return value;
};

const decodeDirectory = (value: Buffer): DirectoryEntry => ({
  ino: value.readBigUInt64LE(0),
  mtimeNs: value.readBigInt64LE(8),
  ctimeNs: value.readBigInt64LE(16),
});
