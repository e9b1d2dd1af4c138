/**
 * Reads a feed (`feed.ts`) while its leader writes, rolls and drops files; from any process on any machine.
 *
 *     const reader = openFeedReader(feedDirectory(sync));
 *     for (let after = reader.newest(); ; await pause()) {
 *       const { events, dropped, last } = reader.read(after, 500);
 *       …
 *       after = last;
 *     }
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { eventNames, type FeedEvent } from './types.js';

export interface FeedPage {
  events: FeedEvent[];
  /** Numbers, both inclusive, that were asked for and are there no more: before `events`. */
  dropped?: { from: number; to: number };
  /** To go on after it. */
  last: number;
}

export interface FeedReader {
  /** Events behind a sequence number, at most `limit`. Costs little where the last `read` ended. */
  read(after: number, limit: number): FeedPage;
  /** First and last number that are there; 0 for none. */
  oldest(): number;
  newest(): number;
  /** The number behind which all events of `time` (milliseconds) and later stand, perhaps with some of before. */
  before(time: number): number;
}

export interface FeedFile {
  name: string;
  /** Sequence number of the first event in it. */
  first: number;
}

export const fileName = (first: number): string => `${String(first).padStart(16, '0')}.jsonl`;

/** In order; none when there is no feed. */
export function feedFiles(directory: string): FeedFile[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return names
    .filter((name) => /^\d{16}\.jsonl$/.test(name))
    .sort()
    .map((name) => ({ name, first: Number(name.slice(0, 16)) }));
}

const pieceBytes = 256 << 10;
/** Clocks of gateways and of the filesystem may be so far apart. */
const SKEW_MS = 120_000;

interface Place {
  name: string;
  /** Position in the file, and the number of the event before it. */
  offset: number;
  after: number;
}

export function openFeedReader(directory: string): FeedReader {
  /** Where the last page ended. */
  let place: Place | undefined;

  /** Events of one file behind `after`. Undefined: the file is gone. */
  const readFile = (from: Place, after: number, limit: number): { events: FeedEvent[]; place: Place } | undefined => {
    const events: FeedEvent[] = [];
    let at = from;
    const found = eachLine(join(directory, from.name), from.offset, (text, end) => {
      const event = parseEvent(text);
      at = { name: from.name, offset: end, after: event?.seq ?? at.after };
      if (event && event.seq > after) events.push(event);
      return events.length < limit;
    });
    return found ? { events, place: at } : undefined;
  };

  /** What stands there now. `again`: a file went away under our eyes, or got lines after we had read it. */
  const look = (after: number, limit: number): FeedPage | 'again' => {
    const files = feedFiles(directory);
    let index = files.findLastIndex(({ first }) => first <= after + 1);
    // Only older events would stand there, or none any more.
    if (index < 0) index = 0;
    const events: FeedEvent[] = [];
    let last = after;
    for (; index < files.length && events.length < limit; index++) {
      const { name } = files[index]!;
      const from = place?.name === name && place.after <= last ? place : { name, offset: 0, after: 0 };
      const found = readFile(from, last, limit - events.length);
      if (!found) return 'again';
      place = found.place;
      events.push(...found.events);
      last = found.events.at(-1)?.seq ?? last;
      const next = files[index + 1];
      // Written between our reading and our listing: a file that is followed by another is complete, so look once more.
      if (next && next.first > last + 1 && events.length < limit) {
        const late = readFile(place, last, limit - events.length);
        if (!late) return 'again';
        place = late.place;
        events.push(...late.events);
        last = late.events.at(-1)?.seq ?? last;
      }
    }
    return untilGap(after, events);
  };

  return {
    read(after, limit) {
      for (let tries = 0; tries < 100; tries++) {
        const page = look(after, limit);
        if (page !== 'again') return page;
        place = undefined;
      }
      throw new Error(`${directory} drops its events faster than they are read`);
    },
    oldest: () => {
      for (const { name } of feedFiles(directory)) {
        const found = readFile({ name, offset: 0, after: 0 }, 0, 1)?.events[0];
        if (found) return found.seq;
      }
      return 0;
    },
    newest: () => lastEvent(directory)?.seq ?? 0,
    before(time) {
      const files = feedFiles(directory);
      // Files that were complete before it hold nothing of it.
      const start = files.findLastIndex(({ name }) => (changedAt(join(directory, name)) ?? 0) < time - SKEW_MS) + 1;
      let before = (files[start]?.first ?? (lastEvent(directory)?.seq ?? 0) + 1) - 1;
      for (const { name } of files.slice(start)) {
        let found = false;
        eachLine(join(directory, name), 0, (text) => {
          const event = parseEvent(text);
          if (!event) return true;
          found = event.time >= time;
          if (!found) before = event.seq;
          return !found;
        });
        if (found) break;
      }
      return before;
    },
  };
}

/** Events up to the first gap among them; one before them is what was dropped. */
function untilGap(after: number, events: FeedEvent[]): FeedPage {
  const [first] = events;
  if (!first) return { events, last: after };
  const gap = events.findIndex(({ seq }, at) => at > 0 && seq !== events[at - 1]!.seq + 1);
  const page = gap < 0 ? events : events.slice(0, gap);
  return {
    events: page,
    ...(first.seq > after + 1 && { dropped: { from: after + 1, to: first.seq - 1 } }),
    last: page.at(-1)!.seq,
  };
}

/** The newest event; a file that was made and not yet written to is looked past. */
export function lastEvent(directory: string): FeedEvent | undefined {
  for (const { name } of feedFiles(directory).reverse()) {
    let last: FeedEvent | undefined;
    eachLine(join(directory, name), tailOf(join(directory, name)), (text) => {
      last = parseEvent(text) ?? last;
      return true;
    });
    if (!last) {
      eachLine(join(directory, name), 0, (text) => {
        last = parseEvent(text) ?? last;
        return true;
      });
    }
    if (last) return last;
  }
  return undefined;
}

// ---- lines -------------------------------------------------------------------------------------------------------

/** Undefined for what is no event. */
export function parseEvent(text: string): FeedEvent | undefined {
  let value: Partial<FeedEvent> | null;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const good =
    typeof value === 'object' &&
    value !== null &&
    Number.isSafeInteger(value.seq) &&
    typeof value.key === 'string' &&
    Number.isFinite(value.time) &&
    (eventNames as readonly unknown[]).includes(value.name);
  return good ? (value as FeedEvent) : undefined;
}

const isGone = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

function withFile<T>(path: string, work: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

const changedAt = (path: string): number | undefined => withFile(path, (fd) => fstatSync(fd).mtimeMs);

/** Where to begin for the last lines alone: most lines are far shorter than what is read then. */
const tailOf = (path: string): number => withFile(path, (fd) => Math.max(0, fstatSync(fd).size - 16_384)) ?? 0;

/**
 * Gives each complete line from a position on and the position behind it, until `take` answers false. A line that is
 * still being written is left for later. Answers whether the file is there.
 */
function eachLine(path: string, from: number, take: (text: string, end: number) => boolean): boolean {
  const found = withFile(path, (fd) => {
    let rest = Buffer.alloc(0);
    const piece = Buffer.allocUnsafe(pieceBytes);
    for (let position = from, offset = from; ; ) {
      const got = readSync(fd, piece, 0, piece.length, position);
      if (got === 0) return true;
      position += got;
      const bytes = Buffer.concat([rest, piece.subarray(0, got)]);
      let start = 0;
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
        const text = bytes.toString('utf8', start, end);
        start = end + 1;
        if (!take(text, offset + start)) return true;
      }
      rest = bytes.subarray(start);
      offset += start;
    }
  });
  return found === true;
}
