/** Which operation a request asks for. Pure; the table is data. */
import { versionAction } from '../../acl/policy/actions.js';
import { invalidArgument, S3Error } from '../errors.js';
import type { Headers, Query, Target } from '../http/types.js';
import type { Operation } from './types.js';

export interface Resolvable {
  method: string;
  target: Target;
  query: Query;
  headers: Headers;
}

/**
 * The most specific row that fits: more sub-resource parameters, a fixed value, a header. Among equals the first.
 * Parameters that no row knows (`x-id` of the SDKs, anything of a client's own) change nothing.
 *
 * A known sub-resource never falls through to the plain row: `DELETE /bucket/key?acl` is no DeleteObject, and a part that
 * lost its upload is no object: stored as one, it would replace what the whole upload was to become.
 * @throws S3Error MethodNotAllowed when the method does not exist for the resource, InvalidArgument for a part of no upload
 */
export function resolve(request: Resolvable, table: readonly Operation[]): Operation {
  const { method, target, query, headers } = request;
  const level = target.bucket === undefined ? 'service' : target.key === undefined ? 'bucket' : 'object';
  const { rows, byMethod, subResources } = indexOf(table)[level];
  const asked =
    query.params.length === 0
      ? nothing
      : new Set(query.params.map(({ name }) => name).filter((name) => subResources.has(name)));
  if (level === 'object' && method !== 'GET' && method !== 'HEAD') requireUploadOfPart(query);

  let best: Operation | undefined;
  let bestScore = -1;
  for (const row of byMethod.get(method) ?? []) {
    if (!fits(row, query, headers)) continue;
    if (asked.size > 0 && !row.open && !asked.has(row.query?.[0] ?? '')) continue;
    const score = (row.query?.length ?? 0) + (row.queryValue ? 1 : 0) + (row.header ? 1 : 0);
    if (score > bestScore) [best, bestScore] = [row, score];
  }
  if (best) return best;
  const resource = [...asked][0] ?? level;
  throw new S3Error('MethodNotAllowed', {
    fields: { Method: method, ResourceType: resource.toUpperCase() },
    headers: { allow: allowed(rows, asked).join(', ') },
  });
}

const nothing: ReadonlySet<string> = new Set();

/** The IAM actions that a request of this operation needs: others for one that names a version of an object. */
export function actionsOf({ action, also, level }: Operation, query: Query): [string, ...string[]] {
  const version = level === 'object' ? query.get('versionId') : undefined;
  const first = versionAction(action, version);
  return also === undefined ? [first] : [first, versionAction(also, version)];
}

/** GetObject and HeadObject know part numbers without an upload; nothing that writes or deletes does. */
function requireUploadOfPart(query: Query): void {
  const number = query.get('partNumber');
  if (number === undefined || query.has('uploadId')) return;
  throw invalidArgument('partNumber', number, 'A part number needs the upload id of a multipart upload');
}

interface Level {
  rows: Operation[];
  byMethod: ReadonlyMap<string, Operation[]>;
  /** The first parameter of each row: it names what is asked about, the others only say which. */
  subResources: ReadonlySet<string>;
}

const indices = new WeakMap<readonly Operation[], Record<Operation['level'], Level>>();

function indexOf(table: readonly Operation[]): Record<Operation['level'], Level> {
  let index = indices.get(table);
  if (!index) {
    const at = (level: Operation['level']): Level => {
      const rows = table.filter((row) => row.level === level);
      const byMethod = new Map<string, Operation[]>();
      for (const row of rows) byMethod.set(row.method, [...(byMethod.get(row.method) ?? []), row]);
      return { rows, byMethod, subResources: new Set(rows.flatMap((row) => row.query?.slice(0, 1) ?? [])) };
    };
    index = { service: at('service'), bucket: at('bucket'), object: at('object') };
    indices.set(table, index);
  }
  return index;
}

function fits(row: Operation, query: Query, headers: Headers): boolean {
  if (row.query && !row.query.every((name) => query.has(name))) return false;
  if (row.queryValue && query.get(row.queryValue[0]) !== row.queryValue[1]) return false;
  return row.header === undefined || headers.has(row.header);
}

/** RFC 9110 section 15.5.6: a 405 must name the methods that the resource does support. */
function allowed(rows: readonly Operation[], asked: ReadonlySet<string>): string[] {
  const fitting = rows.filter((row) => (asked.size > 0 ? asked.has(row.query?.[0] ?? '') : !row.query));
  return [...new Set(fitting.map((row) => row.method))].sort();
}
