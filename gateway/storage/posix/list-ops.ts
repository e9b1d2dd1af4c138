/** Pages of listings, made within one worker thread of what a walk (`walk.ts`) comes to. */

import { createElements } from '../elements.js';
import { maxKeyBytes, toBytes } from '../keys.js';
import { type KeyCursor, listPage, type Page } from '../listing.js';
import type { ElementForm, ElementPage, ListPage, ListRequest } from '../types.js';
import { isSegment } from './names.js';
import { type Ground, withBucket } from './paths.js';
import { type Walk, walk } from './walk.js';
import { handOver } from './worker-loop.js';

/** One page of a bucket, see `listPage`. */
const pageOf = <Entry>(ground: Ground, request: ListRequest, by: (walk: Walk) => KeyCursor<Entry>): Page<Entry> =>
  withBucket(ground, 'read', (bucket) => {
    const prefix = toBytes(request.prefix);
    const base = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    // No key can begin with what no path can hold; `a/./` must not list `a/`.
    const segments = base.split('/').slice(0, -1);
    if (base.length > maxKeyBytes || !segments.every(isSegment)) return { objects: [], prefixes: [] };
    const cursor = walk(bucket, base, request.delimiter === '/');
    try {
      return listPage(by(cursor), request);
    } finally {
      cursor.close();
    }
  });

export const listObjects = (ground: Ground, request: ListRequest): ListPage =>
  pageOf(ground, request, (cursor) => cursor);

/** For so many objects there is memory at first: most listings that are asked for are short. */
const atFirst = 64;

/** As `listObjects`, for a reply in XML. @param into see `createElements` */
export function listElements(ground: Ground, request: ListRequest, form: ElementForm, into?: ArrayBuffer): ElementPage {
  const out = createElements(form, Math.min(request.limit, atFirst), into);
  const { prefixes, next } = pageOf(ground, request, (cursor) => ({ ...cursor, load: () => cursor.write(out) }));
  const page = out.page(prefixes, next);
  for (const bytes of [page.objects, page.prefixes, page.ownerPlaces]) handOver(bytes.buffer as ArrayBuffer);
  return page;
}

export const listOps = { listObjects, listElements };
