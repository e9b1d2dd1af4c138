/**
 * The events of a bucket in order, as files of JSON lines: `<sync directory>/feed/<first sequence number>.jsonl`. The
 * leader of the bucket alone writes; anybody on any machine reads (`feed-reader.ts`).
 *
 *     const feed = openFeed(feedDirectory(sync), { maxBytes });
 *     // a new catalog goes on counting where the feed ends: first = Math.max(catalog.lastSeq, feed.newest()) + 1
 *     catalog.transaction(() => { change(entry); catalog.outbox.put(seq, event); });
 *     feed.append(catalog.outbox.all());      // on disk when it returns; what it has already is left out
 *     catalog.transaction(() => catalog.outbox.removeUpTo(feed.newest()));
 *
 * A crash between any two of these lines neither loses nor repeats an event. All calls are synchronous: they belong into
 * the engine's thread.
 */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type FeedFile, feedFiles, fileName, lastEvent } from './feed-reader.js';
import type { FeedEvent } from './types.js';

export interface FeedOptions {
  /** Bytes of all files; above it the oldest are dropped. Readers are told what they missed. Default 256 MiB. */
  maxBytes?: number;
  /** Bytes at which a file is followed by the next. Default a sixteenth of `maxBytes`, at most 8 MiB. */
  rollBytes?: number;
  /** Syncs before `append` returns: the outbox that held the events forgets them then. Default true. */
  durable?: boolean;
}

/** Another process has written: what is known here of the feed is not so any more, and it has to be opened anew. */
export class OtherWriter extends Error {}

export interface Feed {
  /**
   * Appends what the feed does not have yet. Events have ascending numbers. A gap stays a gap: readers are told it was
   * dropped.
   * @throws errno errors (ENOSPC …), after which the feed is as before; OtherWriter
   */
  append(events: readonly FeedEvent[]): void;
  /** The last sequence number; 0 when there never was an event, or all are gone. */
  newest(): number;
  close(): void;
}

interface Current extends FeedFile {
  fd: number;
  size: number;
}

/** Opens the feed for the one process that leads the bucket. Takes off a last line that a crash has torn. */
export function openFeed(path: string, options: FeedOptions = {}): Feed {
  const directory = resolve(path);
  const { maxBytes = 256 << 20, durable = true } = options;
  const rollBytes = options.rollBytes ?? Math.max(4096, Math.min(8 << 20, maxBytes >> 4));
  const made = mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (durable && made !== undefined) syncAbove(directory, made);
  let current = openLast(directory);
  let newest = lastEvent(directory)?.seq ?? 0;

  const roll = (first: number): void => {
    if (current) closeSync(current.fd);
    current = undefined;
    const fd = openSync(join(directory, fileName(first)), 'ax', 0o600);
    current = { name: fileName(first), first, fd, size: 0 };
    if (durable) syncDirectory(directory);
  };

  const write = (lines: readonly string[], last: number): void => {
    const { fd, size } = current!;
    // A leader that was stopped for so long that another took over must not write between its lines.
    if (fstatSync(fd).size !== size)
      throw new OtherWriter(`${join(directory, current!.name)} was written by another process`);
    const bytes = Buffer.from(lines.join(''), 'utf8');
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      if (durable) fdatasyncSync(fd);
    } catch (error) {
      ftruncateSync(fd, size);
      throw error;
    }
    current!.size += bytes.length;
    newest = last;
  };

  const dropOldest = (): void => {
    const files = feedFiles(directory).map((file) => ({ ...file, size: sizeOf(join(directory, file.name)) }));
    let all = files.reduce((sum, { size }) => sum + size, 0);
    for (const { name, size } of files) {
      if (all <= maxBytes || name === current?.name) return;
      unlinkSync(join(directory, name));
      all -= size;
    }
  };

  return {
    append(events) {
      let lines: string[] = [];
      let bytes = 0;
      let last = newest;
      const flush = () => {
        if (lines.length > 0) write(lines, last);
        [lines, bytes] = [[], 0];
      };
      let rolled = false;
      for (const event of events) {
        if (event.seq <= newest || event.seq <= last) continue;
        if (!current || current.size + bytes >= rollBytes) {
          flush();
          roll(event.seq);
          rolled = true;
        }
        const line = `${JSON.stringify(event)}\n`;
        lines.push(line);
        bytes += Buffer.byteLength(line);
        last = event.seq;
      }
      flush();
      if (rolled) dropOldest();
    },
    newest: () => newest,
    close() {
      if (current) closeSync(current.fd);
      current = undefined;
    },
  };
}

function openLast(directory: string): Current | undefined {
  const last = feedFiles(directory).at(-1);
  if (!last) return undefined;
  const fd = openSync(join(directory, last.name), 'a+');
  const { size } = fstatSync(fd);
  const whole = endOfLines(fd, size);
  if (whole < size) ftruncateSync(fd, whole);
  return { ...last, fd, size: whole };
}

/** The position behind the last newline. */
function endOfLines(fd: number, size: number): number {
  const piece = Buffer.allocUnsafe(65_536);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - piece.length);
    const got = readSync(fd, piece, 0, end - start, start);
    const newline = piece.subarray(0, got).lastIndexOf(10);
    if (newline >= 0) return start + newline + 1;
    end = start;
  }
  return 0;
}

function sizeOf(path: string): number {
  const fd = openSync(path, 'r');
  try {
    return fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
}

/** Directories that were made are on disk when those above them are. */
function syncAbove(directory: string, made: string): void {
  for (let each = directory; ; each = dirname(each)) {
    syncDirectory(dirname(each));
    if (each === made) return;
  }
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
