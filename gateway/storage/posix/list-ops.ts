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
  load: () => load(bucket, cursor.here),
  counts: () => counts(bucket, cursor.here),
});

export const listObjects = (ground: Ground, request: ListRequest): ListPage => pageOf(ground, request, objectsOf);

// ---- in XML ------------------------------------------------------------------------------------------------------

const handedOver = (part: ElementPart): ElementPart => {
  for (const bytes of [part.objects, part.prefixes, part.ownerPlaces]) handOver(bytes.buffer as ArrayBuffer);
  return part;
};

/** For so many objects there is memory at first: most listings that are asked for are short. */
const atFirst = 64;

/** As `listObjects`, for a reply in XML. @param into see `createElements` */
export function listElements(ground: Ground, request: ListRequest, form: ElementForm, into?: ArrayBuffer): ElementPage {
  const out = createElements(form, Math.min(request.limit, atFirst), into);
  const { objects, prefixes, next } = pageOf<string>(ground, request, (bucket, cursor) => ({
    ...cursor,
    load: () => write(bucket, cursor.here, out) && cursor.here.dir + cursor.here.item,
    counts: () => counts(bucket, cursor.here),
  }));
  return { parts: [handedOver(out.part(prefixes))], ...goesOn(next, lastOf(objects)) };
}

const lastOf = (keys: readonly string[]): string | undefined => {
  const last = keys.at(-1);
  return last === undefined ? undefined : fromBytes(last);
};

// ---- by several threads ------------------------------------------------------------------------------------------

/**
 * Entries to be looked at, as text, because text goes from one thread to another in no time: for each directory its key prefix
 * and the items in it, as in `Entry`, but `.` is the directory itself. All of that in bytes, latin1.
 */
export type Piece = string;
const [betweenItems, betweenDirectories] = ['\0', '\0\0'];
const itself = '.';

const piecesOf = (entries: readonly Pick<Entry, 'dir' | 'item'>[], count: number): Piece[] => {
  const each = Math.ceil(entries.length / count);
  return Array.from({ length: count }, (_, i) => {
    const directories: string[][] = [];
    let last: string | undefined;
    for (const { dir, item } of entries.slice(i * each, (i + 1) * each)) {
      if (dir !== last) directories.push([dir]);
      last = dir;
      directories.at(-1)!.push(item || itself);
    }
    return directories.map((names) => names.join(betweenItems)).join(betweenDirectories);
  });
};

/** A page of which `pieces` have not been looked at. There may be less on them than what was named. */
export interface Plan extends ElementPage {
  pieces: Piece[];
}

/** So many entries are looked at in the time that it takes to ask another thread. */
const together = 32;

/**
 * As `listElements`, but names only what is on the page, unless that is little.
 * @param most so many pieces at most @param into see `createElements`
 */
export function planElements(
  ground: Ground,
  request: ListRequest,
  form: ElementForm,
  most: number,
  into?: ArrayBuffer,
): Plan {
  const entries: Pick<Entry, 'dir' | 'item'>[] = [];
  const { objects, prefixes, next } = pageOf<string>(ground, request, (bucket, cursor) => {
    const name = (): string => {
      const { dir, item } = cursor.here;
      entries.push({ dir, item });
      return dir + item;
    };
    return {
      ...cursor,
      load: name,
      counts: () => {
        // Whether more follows is not another's to find out.
        if (!cursor.grouped || entries.length === request.limit) return counts(bucket, cursor.here);
        return name() !== '';
      },
    };
  });
  const sure = request.delimiter === '/' ? [] : prefixes;
  const parts = sure.length > 0 ? [handedOver(createElements(form, 0).part(sure))] : [];
  const plan: Plan = { parts, pieces: [], ...goesOn(next, lastOf(objects)) };
  if (entries.length === 0) return plan;
  const pieces = piecesOf(entries, Math.min(most, Math.ceil(entries.length / together)));
  if (pieces.length > 1) return { ...plan, pieces };
  return { ...plan, parts: [lookElements(ground, pieces[0]!, form, into), ...parts] };
}

/** The elements of a piece. @param into see `createElements` */
export const lookElements = (ground: Ground, piece: Piece, form: ElementForm, into?: ArrayBuffer): ElementPart =>
  withBucket(ground, 'read', (bucket) => {
    const directories = piece.split(betweenDirectories).map((text) => text.split(betweenItems));
    const expected = directories.reduce((sum, names) => sum + names.length - 1, 0);
    const out = createElements(form, expected, into);
    const prefixes: string[] = [];
    for (const [dir = '', ...items] of directories) {
      const at = openDirectory(bucket.fd, searched(dir));
      // It has gone, with all that was in it.
      if (at < 0) continue;
      try {
        for (const item of items) {
          const entry = { at, dir, item: item === itself ? '' : item };
          if (!item.endsWith('/')) write(bucket, entry, out);
          else if (counts(bucket, entry)) prefixes.push(fromBytes(dir + item));
        }
      } finally {
        close(at);
      }
    }
    return handedOver(out.part(prefixes));
  });

export const listOps = { listObjects, listElements, planElements, lookElements };
