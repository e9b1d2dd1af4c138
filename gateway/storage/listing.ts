/**
 * Paging over keys in order: prefix, delimiter, marker. Pure, over any cursor; it never reads what lies below a common
 * prefix that it has already met.
 *
 * Keys are "byte strings" here: their UTF-8 bytes as a latin1 string (`toBytes`), so that `<` is S3's order.
 */
import { compareUtf8, fromBytes, toBytes } from './keys.js';
import type { ListRequest, Upload, UploadListRequest, UploadPage } from './types.js';

/** Keys in ascending byte order. */
export interface KeyCursor<Entry> {
  /** Goes on (never back) to just before the first key > `key`, or >= `key` when inclusive. A byte string. */
  seek(key: string, inclusive: boolean): void;
  /** The next key as a byte string; undefined at the end. */
  next(): string | undefined;
  /** What the page shows of the key that `next` gave last; undefined when it is not there, or has gone meanwhile. */
  load(): Entry | undefined;
  /** Whether that key is there at all, where it will not be shown itself: only its group, or that more follows. Default: yes. */
  counts?(): boolean;
  /** Of the keys that the delimiter groups it gives one for each group, and then those behind the group. */
  readonly grouped?: boolean;
}

export interface Page<Entry> {
  objects: Entry[];
  prefixes: string[];
  next?: string;
}

/**
 * One page. Keys and common prefixes are one sequence, and the page is what of it is greater than `after`, so:
 * - `after` is a common prefix (NextMarker of the page before): everything below it is skipped;
 * - `after` lies below a common prefix: that prefix is smaller than `after`, and skipped as well, as ceph's RGW does. A
 *   client that was handed the prefix must not get it a second time because it resumes from a key of its own.
 * A limit of 0 gives an empty page that is not truncated, as S3 does.
 */
export function listPage<Entry>(cursor: KeyCursor<Entry>, request: ListRequest): Page<Entry> {
  const page: Page<Entry> = { objects: [], prefixes: [] };
  if (request.limit <= 0) return page;
  const prefix = toBytes(request.prefix);
  const delimiter = toBytes(request.delimiter);
  const after = toBytes(request.after);
  start(cursor, prefix, delimiter, after);

  let last = '';
  let count = 0;
  for (let key = cursor.next(); key?.startsWith(prefix); key = cursor.next()) {
    const group = groupOf(key, prefix, delimiter);
    const full = count === request.limit;
    if ((full || group !== undefined) && cursor.counts?.() === false) continue;
    if (full) {
      page.next = fromBytes(last);
      break;
    }
    if (group === undefined) {
      const entry = cursor.load();
      if (entry === undefined) continue;
      page.objects.push(entry);
      last = key;
    } else {
      page.prefixes.push(fromBytes(group));
      if (!cursor.grouped) cursor.seek(behind(group), true);
      last = group;
    }
    count++;
  }
  return page;
}

function start(cursor: KeyCursor<unknown>, prefix: string, delimiter: string, after: string): void {
  const group = after.startsWith(prefix) ? groupOf(after, prefix, delimiter) : undefined;
  if (after < prefix || after === '') cursor.seek(prefix, true);
  else if (group !== undefined) cursor.seek(behind(group), true);
  else cursor.seek(after, false);
}

/** The common prefix that a key is counted under, if any. */
function groupOf(key: string, prefix: string, delimiter: string): string | undefined {
  if (delimiter === '') return undefined;
  const at = key.indexOf(delimiter, prefix.length);
  return at < 0 ? undefined : key.slice(0, at + delimiter.length);
}

/** The smallest byte string greater than everything that begins with `prefix`. UTF-8 has no byte 0xff to overflow. */
function behind(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/** A cursor over byte strings that are sorted already. */
export function sortedCursor<Entry>(
  sorted: readonly string[],
  load: (key: string) => Entry | undefined,
): KeyCursor<Entry> {
  let position = 0;
  return {
    seek(key, inclusive) {
      let low = position;
      let high = sorted.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        const there = sorted[middle]!;
        if (there < key || (!inclusive && there === key)) low = middle + 1;
        else high = middle;
      }
      position = low;
    },
    next: () => sorted[position++],
    load: () => load(sorted[position - 1]!),
  };
}

/**
 * One page of unfinished uploads, which may come in any order: by key, then by upload id. "If upload-id-marker is
 * specified, any multipart uploads for a key equal to the key-marker might also be included, provided those multipart
 * uploads have upload IDs lexicographically greater" (ListMultipartUploads).
 */
export function uploadPage(uploads: readonly Upload[], request: UploadListRequest): UploadPage {
  const page: UploadPage = { uploads: [], prefixes: [] };
  if (request.limit <= 0) return page;
  const { prefix, delimiter, keyMarker } = request;
  // Without a key-marker the upload-id-marker is ignored.
  const uploadIdMarker = keyMarker === '' ? '' : request.uploadIdMarker;
  const sorted = uploads
    .filter((upload) => upload.key.startsWith(prefix))
    .sort((a, b) => compareUtf8(a.key, b.key) || compareUtf8(a.id, b.id));
  let last: { key: string; uploadId: string } | undefined;
  for (const upload of sorted) {
    const group = groupOf(upload.key, prefix, delimiter);
    const name = group ?? upload.key;
    if (group !== undefined && last?.key === group) continue;
    const order = keyMarker === '' ? 1 : compareUtf8(name, keyMarker);
    if (order < 0) continue;
    if (order === 0 && (group !== undefined || uploadIdMarker === '' || compareUtf8(upload.id, uploadIdMarker) <= 0)) {
      continue;
    }
    if (page.uploads.length + page.prefixes.length === request.limit) {
      page.next = last!;
      break;
    }
    if (group === undefined) page.uploads.push(upload);
    else page.prefixes.push(group);
    last = { key: name, uploadId: group === undefined ? upload.id : '' };
  }
  return page;
}
