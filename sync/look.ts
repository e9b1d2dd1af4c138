/**
 * One look at one directory: what the filesystem shows, held against what the catalog knows. Changes nothing. Runs as
 * whoever the bucket's files are worked on as, synchronously, in slices.
 */
import type { Fingerprint } from '../acl/metadata/stamp.js';
import { loadRecord } from '../acl/metadata/store.js';
import { maxKeyBytes } from '../gateway/storage/keys.js';
import { isDirectory, isFile } from '../gateway/storage/posix/lookup.js';
import { isSegment, itemOf } from '../gateway/storage/posix/names.js';
import type { BucketDir } from '../gateway/storage/posix/paths.js';
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  E,
  type ErrnoError,
  errnoError,
  errnoName,
  fstat,
  getdents64,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  parseEntries,
  RESOLVE_INSIDE,
  rawPath,
  type Stat,
  tryOpenat2,
  tryStatat,
} from '../gateway/storage/posix/syscalls.js';
import type { Catalog, DirectoryEntry } from './catalog.js';
import { decodeEntry, isSame, isUnhashed } from './entry-codec.js';
import type { DirBytes, Entry, KeyBytes } from './types.js';

export type Finding =
  /** A file that the catalog does not know. */
  | { kind: 'appeared'; key: KeyBytes; stat: Fingerprint }
  /** Something has happened to it since the catalog's entry was made. */
  | { kind: 'differs'; key: KeyBytes; stat: Fingerprint; before: Entry }
  /** Nothing has happened, but no digest is known yet. */
  | { kind: 'unhashed'; key: KeyBytes; stat: Fingerprint; before: Entry }
  | { kind: 'vanished'; key: KeyBytes; before: Entry };

export interface Glance {
  findings: Finding[];
  /** Entries that were looked at; those without a finding are as the catalog has them. */
  seen: number;
  /** Entries whose status cannot be had, each with the reason: they are neither there nor gone. */
  failed?: [name: string, reason: string][];
  /** A filesystem is mounted at the directory. Comes first. */
  mounted?: true;
}

export interface DirectoryLook {
  /** Directories in it, each with a `/` at its end. */
  subdirectories: string[];
  /** The directory as it was before it was read; undefined: it is not there, or is no directory. */
  entry: DirectoryEntry | undefined;
  /** The bucket's owner may not read it, or its part of the filesystem fails: nothing is known of what is in it. */
  failure?: string;
}

/** Entries between two pauses of a look. */
const SLICE = 1000;

const forbidden = new Set([E.EACCES, E.EPERM]);
const failureOf = (errno: number): string =>
  forbidden.has(errno) ? 'the owner of the bucket may not read this directory' : `cannot be read (${errnoName(errno)})`;
const gone = new Set([E.ENOENT, E.ENOTDIR, E.ELOOP, E.ENAMETOOLONG, E.EXDEV]);

/**
 * -ENOENT for what no key can begin with. Clients name directories too (the prefix of a sync), and there is more below a
 * bucket than objects.
 */
const openDirectory = (
  bucket: BucketDir,
  dir: DirBytes,
  flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK,
): number => {
  if (dir === '') return tryOpenat2(bucket.fd, '.', flags, 0, RESOLVE_INSIDE);
  const path = dir.slice(0, -1);
  if (!path.split('/').every(isSegment)) return -E.ENOENT;
  return tryOpenat2(bucket.fd, rawPath(path), flags, 0, RESOLVE_INSIDE);
};

/**
 * Looks at every entry of a directory. Yields what it found now and then; the last glance comes with the result.
 * What stood below a directory that has vanished has vanished too.
 * @param bucket is used before the first glance only @param wanted of names in this directory, `/` at the end of directories: others are passed by
 */
export function* lookAtDirectory(
  bucket: BucketDir,
  catalog: Catalog,
  dir: DirBytes,
  wanted: (item: string) => boolean = () => true,
): Generator<Glance, DirectoryLook> {
  const nothing = { subdirectories: [], entry: undefined };
  // A bucket that fails as a whole is tried again; a part of it that does (a server that is away) holds nothing else up.
  const failed = (error: ErrnoError): DirectoryLook => {
    if (dir === '' && !forbidden.has(error.errno)) throw error;
    return { ...nothing, failure: failureOf(error.errno) };
  };
  const fd = openDirectory(bucket, dir);
  if (fd < 0) {
    if (!gone.has(-fd)) return failed(errnoError(-fd, 'openat2'));
    yield* vanishedBelow(catalog, dir, wanted);
    return nothing;
  }
  try {
    // Status first: an entry that comes while we read gives the directory a later time.
    const { ino, mtimeNs, ctimeNs, mountRoot } = fstat(fd);
    if (mountRoot && dir !== '') yield { findings: [], seen: 0, mounted: true };
    const marker = dir === '' || !wanted('') ? undefined : lookAtMarker(bucket, catalog, dir, fd);
    if (marker) yield { findings: [marker], seen: 0 };
    const names = readNames(fd, dir);
    if (!names) {
      yield* vanishedBelow(catalog, dir, wanted);
      return nothing;
    }
    const { files, subdirectories } = names;
    yield* compare(fd, catalog, dir, files, wanted);
    const there = new Set(subdirectories);
    for (const known of catalog.subdirectories(dir)) {
      if (!there.has(known) && wanted(known)) yield* vanishedBelow(catalog, dir + known, () => true);
    }
    return { subdirectories: subdirectories.filter(wanted), entry: { ino, mtimeNs, ctimeNs } };
  } catch (error) {
    if (!isErrno(error)) throw error;
    return failed(error);
  } finally {
    close(fd);
  }
}

/** The object that the directory itself is, or was. */
function lookAtMarker(bucket: BucketDir, catalog: Catalog, dir: DirBytes, fd: number): Finding | undefined {
  const before = catalog.get(dir);
  const stat = fstat(fd);
  const marker = loadRecord(bucket, fd, stat).packed?.marker;
  if (!marker) return before && { kind: 'vanished', key: dir, before };
  const seen = markerPrint(stat.ino, marker.modified);
  if (!before) return { kind: 'appeared', key: dir, stat: seen };
  const same = before.ino === seen.ino && before.mtimeNs === seen.mtimeNs;
  return same ? undefined : { kind: 'differs', key: dir, stat: seen, before };
}

/** The times of a directory change with its entries and say nothing of the object that it is. @param modified ms */
export const markerPrint = (ino: bigint, modified: number): Fingerprint => ({
  size: 0,
  ino,
  mtimeNs: BigInt(modified) * 1_000_000n,
  ctimeNs: 1n,
});

/** Undefined: the directory was removed after it was opened. */
function readNames(fd: number, dir: DirBytes): { files: string[]; subdirectories: string[] } | undefined {
  const files: string[] = [];
  const subdirectories: string[] = [];
  const room = maxKeyBytes - dir.length;
  const buffer = Buffer.allocUnsafe(64 << 10);
  try {
    for (let used: number; (used = getdents64(fd, buffer)) > 0; ) {
      parseEntries(buffer, used, (name, type) => {
        const item = itemOf(fd, name, type);
        if (item === undefined || item.length > room) return;
        (item.endsWith('/') ? subdirectories : files).push(item);
      });
    }
  } catch (error) {
    if (isErrno(error) && (error.code === 'ENOENT' || error.code === 'ESTALE')) return undefined;
    throw error;
  }
  return { files: files.sort(), subdirectories: subdirectories.sort() };
}

/** Both sides are sorted: one pass. */
function* compare(
  fd: number,
  catalog: Catalog,
  dir: DirBytes,
  files: readonly string[],
  wanted: (item: string) => boolean,
): Generator<Glance> {
  const known = catalog.children(dir);
  let next = known.next();
  // The directory object is not among the names.
  if (!next.done && next.value[0] === '') next = known.next();
  let glance: Glance = { findings: [], seen: 0 };
  const vanished = (name: string, value: Buffer): void => {
    if (wanted(name)) glance.findings.push({ kind: 'vanished', key: dir + name, before: decodeEntry(value) });
  };
  for (const name of files) {
    while (!next.done && next.value[0] < name) {
      vanished(...next.value);
      next = known.next();
    }
    let value: Buffer | undefined;
    if (!next.done && next.value[0] === name) {
      value = next.value[1];
      next = known.next();
    }
    if (!wanted(name)) continue;
    glance.seen++;
    let stat: Stat | undefined;
    try {
      stat = tryStatat(fd, rawPath(name), AT_SYMLINK_NOFOLLOW);
    } catch (error) {
      // A directory that may be read and not searched: of none of its entries anything is known.
      if (!isErrno(error) || forbidden.has(error.errno)) throw error;
      glance.failed = [...(glance.failed ?? []), [name, failureOf(error.errno)]];
      continue;
    }
    const finding = found(dir + name, stat && isFile(stat) ? stat : undefined, value);
    if (finding) glance.findings.push(finding);
    if (glance.seen + glance.findings.length >= SLICE) {
      yield glance;
      glance = { findings: [], seen: 0 };
    }
  }
  for (; !next.done; next = known.next()) {
    vanished(...next.value);
    if (glance.findings.length < SLICE) continue;
    yield glance;
    glance = { findings: [], seen: 0 };
  }
  yield glance;
}

const found = (key: KeyBytes, stat: Fingerprint | undefined, value: Buffer | undefined): Finding | undefined => {
  if (!stat) return value && { kind: 'vanished', key, before: decodeEntry(value) };
  if (!value) return { kind: 'appeared', key, stat };
  if (!isSame(value, stat)) return { kind: 'differs', key, stat, before: decodeEntry(value) };
  return isUnhashed(value) ? { kind: 'unhashed', key, stat, before: decodeEntry(value) } : undefined;
};

function* vanishedBelow(catalog: Catalog, dir: DirBytes, wanted: (item: string) => boolean): Generator<Glance> {
  let glance: Glance = { findings: [], seen: 0 };
  for (const [key, before] of catalog.below(dir)) {
    const rest = key.slice(dir.length);
    if (!wanted(rest.includes('/') ? rest.slice(0, rest.indexOf('/') + 1) : rest)) continue;
    glance.findings.push({ kind: 'vanished', key, before });
    if (glance.findings.length < SLICE) continue;
    yield glance;
    glance = { findings: [], seen: 0 };
  }
  yield glance;
}

/** Undefined: it is not there, or cannot be seen. */
export function statDirectory(
  bucket: BucketDir,
  dir: DirBytes,
): (DirectoryEntry & Pick<Stat, 'mountRoot'>) | undefined {
  const fd = openDirectory(bucket, dir, O_PATH | O_DIRECTORY);
  if (fd < 0) return undefined;
  try {
    const { ino, mtimeNs, ctimeNs, mountRoot } = fstat(fd);
    return { ino, mtimeNs, ctimeNs, mountRoot };
  } finally {
    close(fd);
  }
}

export interface NameLook {
  finding: Finding | undefined;
  /** A directory stands there: to be looked at by itself. */
  directory: boolean;
  /** Why nothing is known of it, other than that it may not be seen. */
  failure?: string;
}

/** Looks at names of a directory, in their order, which need not be there; '' is the directory object. */
export function lookAtNames(
  bucket: BucketDir,
  catalog: Catalog,
  dir: DirBytes,
  names: Iterable<string>,
): (NameLook & { name: string })[] {
  const fd = openDirectory(bucket, dir);
  try {
    return Array.from(names, (name) => ({ name, ...lookAt(bucket, catalog, dir, fd, name) }));
  } finally {
    if (fd >= 0) close(fd);
  }
}

export const lookAtName = (bucket: BucketDir, catalog: Catalog, dir: DirBytes, name: string): NameLook =>
  lookAtNames(bucket, catalog, dir, [name])[0]!;

/** @param fd the directory, or what opening it said */
function lookAt(bucket: BucketDir, catalog: Catalog, dir: DirBytes, fd: number, name: string): NameLook {
  const nothing: NameLook = { finding: undefined, directory: false };
  const key = dir + name;
  if (!(isSegment(name) || (name === '' && dir !== '')) || key.length > maxKeyBytes) return nothing;
  const before = catalog.get(key);
  const vanished = (): NameLook => ({
    finding: before && { kind: 'vanished', key, before },
    directory: catalog.directory(`${key}/`) !== undefined,
  });
  const failed = (error: ErrnoError): NameLook =>
    forbidden.has(error.errno) ? nothing : { ...nothing, failure: failureOf(error.errno) };
  if (gone.has(-fd)) return vanished();
  if (fd < 0) return failed(errnoError(-fd, 'openat2'));
  try {
    if (name === '') return { finding: lookAtMarker(bucket, catalog, dir, fd), directory: false };
    const stat = tryStatat(fd, rawPath(name), AT_SYMLINK_NOFOLLOW);
    if (!stat || !(isFile(stat) || isDirectory(stat))) return vanished();
    if (isDirectory(stat)) return { finding: before && { kind: 'vanished', key, before }, directory: true };
    const finding = compareEntry(key, stat, before);
    return { finding, directory: catalog.directory(`${key}/`) !== undefined };
  } catch (error) {
    if (!isErrno(error)) throw error;
    return failed(error);
  }
}

const compareEntry = (key: KeyBytes, stat: Fingerprint, before: Entry | undefined): Finding | undefined => {
  if (!before) return { kind: 'appeared', key, stat };
  const same = before.ctimeNs === stat.ctimeNs && before.ino === stat.ino;
  if (!same || before.mtimeNs !== stat.mtimeNs || before.size !== stat.size)
    return { kind: 'differs', key, stat, before };
  return before.etag === '' ? { kind: 'unhashed', key, stat, before } : undefined;
};
