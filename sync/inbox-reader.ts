/**
 * The leader's side of the inboxes (`inbox.ts`). It runs in the engine's thread: every call is synchronous.
 *
 *     const { changes, positions, more } = drain(inboxDirectory(sync), catalog.positions);
 *     catalog.transaction(() => { apply(changes); catalog.positions = positions; });
 *     forget(inboxDirectory(sync), positions);
 *
 * Repeat while `more`. A crash after `drain` gives the same changes again; one before `forget` costs nothing.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { hostHash, STALE_MS } from './inbox.js';
import { type EventName, eventNames, type S3Change, type S3Removal } from './types.js';

/** Bytes of each file that have been taken, by the file's name. */
export type Positions = Readonly<Record<string, number>>;

export interface Drained {
  /** In the order of each file; across files by `time`. */
  changes: S3Change[];
  /** In the order of each file: those of a deletion are before its change. */
  removals: S3Removal[];
  /** After them. Files that are gone have none. */
  positions: Positions;
  /** There was more than was to be read at once. */
  more: boolean;
  /** Lines that are no changes: they were left out. */
  garbage: number;
}

export interface DrainOptions {
  /** Read of each gateway's file at most; of its files one after the other. Default 1 MiB. */
  maxBytes?: number;
}

interface Line {
  record: S3Change | S3Removal | undefined;
  /** Position behind it. */
  end: number;
}

interface Pending {
  name: string;
  lines: Line[];
  next: number;
  /** More lines stand behind those that were read. */
  cut: boolean;
}

const nameForm = /^([0-9a-f]{8})-(\d+)-[0-9a-f]{8}-(\d+)\.jsonl$/;
const gatewayOf = (name: string): string => name.slice(0, name.lastIndexOf('-'));

/** Reads what is new. @param positions of the last `drain` that was acted on; `{}` at first */
export function drain(directory: string, positions: Positions, { maxBytes = 1 << 20 }: DrainOptions = {}): Drained {
  const after: Record<string, number> = {};
  const files = new Map<string, Pending>();
  const read = (until: number): void => {
    /** Of whose files one holds more than is read now: what they wrote afterwards comes later, and is left where it is. */
    const behind = new Set<string>();
    for (const name of list(directory).sort()) {
      const gateway = gatewayOf(name);
      const known = files.get(name);
      if (known?.cut) behind.add(gateway);
      after[name] ??= positions[name] ?? 0;
      if (behind.has(gateway)) continue;
      const found = readLines(join(directory, name), known?.lines.at(-1)?.end ?? after[name], maxBytes);
      if (!found) {
        if (!known) delete after[name];
        continue;
      }
      const late = found.lines.findIndex(({ record }) => record && record.time > until);
      const lines = late < 0 ? found.lines : found.lines.slice(0, late);
      const cut = found.cut || late >= 0;
      if (cut) behind.add(gateway);
      if (known) Object.assign(known, { lines: [...known.lines, ...lines], cut });
      else files.set(name, { name, next: 0, lines, cut });
    }
  };
  read(Number.POSITIVE_INFINITY);
  // What came before a line that was read may have been written to a file that was read before it, or to one that was not
  // there yet: so all are read once more, up to that moment.
  let latest = 0;
  for (const { lines } of files.values()) for (const { record } of lines) latest = Math.max(latest, record?.time ?? 0);
  if (latest > 0) read(latest);
  const pending = [...files.values()].filter(({ lines, cut }) => lines.length > 0 || cut);
  const changes: S3Change[] = [];
  const removals: S3Removal[] = [];
  let garbage = 0;
  for (let from = earliest(pending); from; from = earliest(pending)) {
    const { record, end } = from.lines[from.next++]!;
    after[from.name] = end;
    if (!record) garbage++;
    else if ('removal' in record) removals.push(record);
    else changes.push(record);
    // What follows in this file may be older than what the others have.
    if (from.cut && from.next === from.lines.length) break;
  }
  return {
    changes,
    removals,
    positions: after,
    more: pending.some(({ cut, next, lines }) => cut || next < lines.length),
    garbage,
  };
}

function earliest(pending: readonly Pending[]): Pending | undefined {
  let found: Pending | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const one of pending) {
    const line = one.lines[one.next];
    if (!line) continue;
    const time = line.record?.time ?? Number.NEGATIVE_INFINITY;
    if (found && time >= least) continue;
    [found, least] = [one, time];
  }
  return found;
}

/**
 * Removes the files that are taken to their end and that nobody writes any more: their gateway has begun another, has
 * ended, or has not touched them for an hour (a writer takes a new file every ten minutes). Answers their names.
 */
export function forget(directory: string, positions: Positions, now = Date.now()): string[] {
  const names = list(directory);
  const newest = new Map<string, string>();
  for (const name of names) {
    const gateway = gatewayOf(name);
    if (name > (newest.get(gateway) ?? '')) newest.set(gateway, name);
  }
  const last = new Set(newest.values());
  return names.filter((name) => {
    const position = positions[name];
    // Asked before the last look at the file: what its writer wrote until then is seen by it.
    if (position === undefined || !(!last.has(name) || hasEnded(name) || isStale(join(directory, name), now)))
      return false;
    const rest = readLines(join(directory, name), position, 1 << 20);
    if (!rest || rest.lines.length > 0 || rest.cut) return false;
    unlinkSync(join(directory, name));
    return true;
  });
}

/** @param name begins with a `gatewayId` */
export function hasEnded(name: string): boolean {
  const [, host, pid] = /^([0-9a-f]{8})-(\d+)-/.exec(name) ?? [];
  if (host !== hostHash) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function isStale(path: string, now: number): boolean {
  return withFile(path, (fd) => now - fstatSync(fd).mtimeMs > STALE_MS) ?? false;
}

// ---- files -------------------------------------------------------------------------------------------------------

function list(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => nameForm.test(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Opened anew each time: on NFS that is what makes another machine's bytes seen. Undefined: the file is gone. */
function withFile<T>(path: string, work: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

/** The complete lines from a position on. The last line of a writer that died may be torn: it never was acknowledged. */
function readLines(path: string, from: number, maxBytes: number): Pick<Pending, 'lines' | 'cut'> | undefined {
  return withFile(path, (fd) => {
    const { size } = fstatSync(fd);
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(maxBytes, size - from)));
    let length = 0;
    while (length < bytes.length) {
      const got = readSync(fd, bytes, length, bytes.length - length, from + length);
      if (got === 0) break;
      length += got;
    }
    const read = bytes.subarray(0, length);
    const cut = from + length < size;
    const lines: Line[] = [];
    let start = 0;
    for (let end = read.indexOf(10); end >= 0; end = read.indexOf(10, start)) {
      lines.push({ record: parseRecord(read.toString('utf8', start, end)), end: from + end + 1 });
      start = end + 1;
    }
    // So much without an end is no line of ours.
    if (cut && lines.length === 0) lines.push({ record: undefined, end: from + length });
    return { lines, cut };
  });
}

const writeForm = /^(Put|Post|Copy|CompleteMultipartUpload|Delete)-[0-9a-f]{32}$/;
const names: ReadonlySet<unknown> = new Set<EventName>(eventNames);
const optional = (type: 'string' | 'number', ...values: unknown[]): boolean =>
  values.every((value) => value === undefined || typeof value === type);

/** Undefined for what is no record. */
export function parseRecord(line: string): S3Change | S3Removal | undefined {
  let value: (Partial<S3Change> & Partial<S3Removal>) | null;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { write, key, time, removal } = value;
  if (typeof write !== 'string' || !writeForm.test(write)) return undefined;
  if (typeof key !== 'string' || key === '' || !Number.isFinite(time)) return undefined;
  if (removal !== undefined) return removal === 'begun' || removal === 'over' ? (value as S3Removal) : undefined;
  const { name, size, etag, requester, sourceIp, requestId } = value;
  const good = names.has(name) && optional('number', size) && optional('string', etag, requester, sourceIp, requestId);
  return good ? (value as S3Change) : undefined;
}
