/**
 * Pages of listings, made within worker threads of what a walk (`walk.ts`) comes to: by one alone, or by one that names what is
 * on the page, and several that look at it. On a filesystem that takes a millisecond for each look, a thousand are a second.
 */
import { createElements, goesOn } from '../elements.js';
import { fromBytes, maxKeyBytes, toBytes } from '../keys.js';
import { type KeyCursor, listPage, type Page } from '../listing.js';
import type { ElementForm, ElementPage, ElementPart, ListedObject, ListPage, ListRequest } from '../types.js';
import { counts, type Entry, load, openDirectory, searched, write } from './entries.js';
import { isSegment } from './names.js';
import { type BucketDir, type Ground, withBucket } from './paths.js';
import { close } from './syscalls.js';
import { type Walk, walk } from './walk.js';
import { handOver } from './worker-loop.js';

/** One page of a bucket, see `listPage`. */
const pageOf = <Shown>(
  ground: Ground,
  request: ListRequest,
  by: (bucket: BucketDir, walk: Walk) => KeyCursor<Shown>,
): Page<Shown> =>
  withBucket(ground, 'read', (bucket) => {
    const prefix = toBytes(request.prefix);
    const base = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    // No key can begin with what no path can hold; `a/./` must not list `a/`.
    const segments = base.split('/').slice(0, -1);
    if (base.length > maxKeyBytes || !segments.every(isSegment)) return { objects: [], prefixes: [] };
    const cursor = walk(bucket, base, request.delimiter === '/');
    try {
      return listPage(by(bucket, cursor), request);
    } finally {
      cursor.close();
    }
  });

/** Looks at what a walk comes to. */
export const objectsOf = (bucket: BucketDir, cursor: Walk): KeyCursor<ListedObject> => ({
  ...cursor,
  load: () => load(bucket, cursor.here()),
  counts: () => counts(bucket, cursor.here()),
});

export const listObjects = (ground: Ground, request: ListRequest): ListPage => pageOf(ground, request, objectsOf);

// ---- in XML ------------------------------------------------------------------------------------------------------

/** What a page of keys (bytes) says of the next one. */
const endOf = ({ objects, next }: Page<string>): Pick<ElementPage, 'next' | 'nextIsKey'> => {
  const last = objects.at(-1);
  return goesOn(next, last === undefined ? undefined : fromBytes(last));
};

const handedOver = (part: ElementPart): ElementPart => {
  for (const bytes of [part.objects, part.prefixes, part.ownerPlaces]) handOver(bytes.buffer as ArrayBuffer);
  return part;
};

/** For so many objects there is memory at first: most listings that are asked for are short. */
const atFirst = 64;

/** As `listObjects`, for a reply in XML. @param into see `createElements` */
export function listElements(ground: Ground, request: ListRequest, form: ElementForm, into?: ArrayBuffer): ElementPage {
  const out = createElements(form, Math.min(request.limit, atFirst), into);
  const page = pageOf<string>(ground, request, (bucket, cursor) => ({
    ...cursor,
    load: () => write(bucket, cursor.here(), out) && cursor.here().key,
    counts: () => counts(bucket, cursor.here()),
  }));
  return { parts: [handedOver(out.part(page.prefixes))], ...endOf(page) };
}

// ---- by several threads ------------------------------------------------------------------------------------------

type Named = Pick<Entry, 'dir' | 'item' | 'key'>;

/**
 * Entries to be looked at, as text, because text goes from one thread to another in no time: for each directory its key prefix
 * and the items in it, as in `Entry`, but `.` is the directory itself. All of that in bytes, latin1.
 */
export type Piece = string;
const [betweenItems, betweenDirectories] = ['\0', '\0\0'];
const itself = '.';

const pieceOf = (entries: readonly Named[]): Piece => {
  const directories: string[][] = [];
  let last: string | undefined;
  for (const { dir, item } of entries) {
    if (dir !== last) directories.push([dir]);
    last = dir;
    directories.at(-1)!.push(item || itself);
  }
  return directories.map((names) => names.join(betweenItems)).join(betweenDirectories);
};

const entriesOf = (piece: Piece): Named[] =>
  piece.split(betweenDirectories).flatMap((text) => {
    const [dir = '', ...items] = text.split(betweenItems);
    return items.map((item) => (item === itself ? { dir, item: '', key: dir } : { dir, item, key: dir + item }));
  });

/** A page of which `pieces` have not been looked at. They may hold less than what was named. */
export interface Plan extends ElementPage {
  pieces: Piece[];
}

/** When a page is looked at by others, in milliseconds. */
export interface Sharing {
  /** In so many pieces at most; 1: never. */
  most: number;
  /** After so long it is thought about. */
  after: number;
  /** If all that is left takes this long for one thread. */
  worth: number;
}

/**
 * As `listElements`, but leaves most of it to others where looking takes its time: where files are on other machines, or on a
 * disk, or are so many that the kernel has to fetch what it knows of them.
 * @param into see `createElements`
 */
export function planElements(
  ground: Ground,
  request: ListRequest,
  form: ElementForm,
  { most, after, worth }: Sharing,
  into?: ArrayBuffer,
): Plan {
  const entries: Named[] = [];
  const page = pageOf<string>(ground, request, (bucket, cursor) => {
    const name = (): string => {
      const { dir, item, key } = cursor.here();
      entries.push({ dir, item, key });
      return key;
    };
    return {
      ...cursor,
      load: name,
      counts: () => {
        // Whether more follows is not another's to find out.
        if (!cursor.grouped || entries.length === request.limit) return counts(bucket, cursor.here());
        name();
        return true;
      },
    };
  });
  const began = performance.now();
  let expected = most > 1 ? undefined : 0;
  const { part, looked } = lookAt(ground, entries, form, into, (count) => {
    const ms = performance.now() - began;
    if (expected !== undefined || ms < after) return false;
    expected = (ms / count) * (entries.length - count);
    return expected >= worth;
  });
  const parts = [part];
  // Common prefixes that need not be looked at: other delimiters than `/` group what is there.
  if (request.delimiter !== '/' && page.prefixes.length > 0) {
    parts.push(handedOver(createElements(form, 0).part(page.prefixes)));
  }
  const rest = entries.slice(looked);
  const each = Math.ceil(rest.length / most);
  const pieces: Piece[] = [];
  for (let from = 0; from < rest.length; from += each) pieces.push(pieceOf(rest.slice(from, from + each)));
  return { parts, pieces, ...endOf(page) };
}

/** The elements of a piece. @param into see `createElements` */
export const lookElements = (ground: Ground, piece: Piece, form: ElementForm, into?: ArrayBuffer): ElementPart =>
  lookAt(ground, entriesOf(piece), form, into).part;

/**
 * Looks at entries, until there are no more.
 * @param enough is asked after each one, told how many have been looked at
 */
const lookAt = (
  ground: Ground,
  entries: readonly Named[],
  form: ElementForm,
  into: ArrayBuffer | undefined,
  enough: (looked: number) => boolean = () => false,
): { part: ElementPart; looked: number } =>
  withBucket(ground, 'read', (bucket) => {
    const out = createElements(form, entries.length, into);
    const prefixes: string[] = [];
    let looked = 0;
    let at = -1;
    try {
      for (let last: string | undefined; looked < entries.length; ) {
        const { dir, item, key } = entries[looked++]!;
        if (dir !== last) {
          if (at >= 0) close(at);
          at = -1;
          at = openDirectory(bucket.fd, searched(dir));
          last = dir;
        }
        // Negative: it has gone, with all that was in it.
        if (at >= 0) {
          const entry = { at, dir, item, key };
          if (!item.endsWith('/')) write(bucket, entry, out);
          else if (counts(bucket, entry)) prefixes.push(fromBytes(key));
        }
        if (enough(looked)) break;
      }
    } finally {
      if (at >= 0) close(at);
    }
    return { part: handedOver(out.part(prefixes)), looked };
  });

export const listOps = { listObjects, listElements, planElements, lookElements };
