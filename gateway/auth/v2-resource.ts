/**
 * The CanonicalizedResource of signature version 2, in the forms that real clients sign.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
 */
import { decodeBytes, hostName } from '../http/target.js';
import type { Headers, Target, WireRequest } from '../http/types.js';
import { canonicalPath } from './sigv4/canonical.js';

/**
 * Parameters that select what a request does, or change the reply: all of S3's, also those that came after version 2.
 * Every one that is present must be signed, or a harmless request could be turned into another one on the way (`PUT
 * /bucket/key` into `?retention`, `GET /bucket` into `?uploads`, `POST /bucket` into `?delete`). What is not here only
 * shapes a reply (`prefix`, `marker`), and `sync`: S3DS's clients never sign it, and a sync is idempotent.
 */
const subResources = new Set(
  (
    'abac accelerate acl analytics append attributes cors defaultObjectAcl delete encryption intelligent-tiering ' +
    'inventory legal-hold lifecycle location logging metadataConfiguration metadataInventoryTable metadataJournalTable ' +
    'metadataTable metrics notification object-lock ownershipControls partNumber policy policyStatus publicAccessBlock ' +
    'renameObject replication requestPayment response-cache-control response-content-disposition ' +
    'response-content-encoding response-content-language response-content-type response-expires restore retention select ' +
    'select-type session storageClass tagging torrent uploadId uploads versionId versioning versions website'
  ).split(' '),
);

/**
 * What may be there without being signed, because clients in use leave it out (s3curl: both, rclone: tagging). The
 * worst that an unsigned one does: a captured `PUT /b/k` sets tags, a captured `PUT /b` sets CORS rules, a captured
 * `DELETE /b/k` deletes the tags only. None of them destroys an object or opens it to anybody who may not read it.
 */
const droppable = new Set(['tagging', 'cors']);

/**
 * On reads also these: configuration that is newer than version 2, whose clients do not know that it is to be signed.
 * Not `acl` and `policy`, which every client signs, and nothing that selects other bytes (`versionId`, `partNumber`) or
 * changes headers of the reply (`response-*`).
 */
const droppableOnRead = new Set([
  'accelerate',
  'attributes',
  'encryption',
  'intelligent-tiering',
  'legal-hold',
  'location',
  'object-lock',
  'ownershipControls',
  'policyStatus',
  'publicAccessBlock',
  'replication',
  'retention',
]);

function mayDrop(name: string, method: string): boolean {
  return droppable.has(name) || ((method === 'GET' || method === 'HEAD') && droppableOnRead.has(name));
}

const ambiguous = /%[0-9A-Fa-f]{2}|\?/;

/**
 * The path in the forms that mean this request: as sent, encoded by AWS's rules, with the bytes above ASCII decoded (s3curl
 * signs what was typed, curl encodes `é` on the way), decoded.
 * The last one only when no escape and no `?` come out: the key `a%20b`, signed decoded, would else also sign `a b`.
 */
function pathForms(rawPath: string): string[] {
  const forms = [rawPath, canonicalPath(rawPath)];
  forms.push(
    rawPath.replace(/%[89A-Fa-f][0-9A-Fa-f]/g, (text) => String.fromCharCode(Number.parseInt(text.slice(1), 16))),
  );
  const decoded = decodeBytes(rawPath, false, false).toString('latin1');
  if (!ambiguous.test(decoded)) forms.push(decoded);
  return forms;
}

function queryForms(request: WireRequest): string[] {
  const present = request.query.params
    .filter((param) => subResources.has(param.name))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  if (present.length === 0) return [''];
  const text = (params: typeof present, keepEquals: boolean) => {
    const parts = params.map(({ name, rawValue }) => {
      if (rawValue === undefined || (rawValue === '' && !keepEquals)) return name;
      // "The value of a sub-resource must not be URL-encoded when creating the CanonicalizedResource."
      return `${name}=${decodeBytes(rawValue, true, false).toString('latin1')}`;
    });
    return parts.length === 0 ? '' : `?${parts.join('&')}`;
  };
  const kept = present.filter((param) => !mayDrop(param.name, request.method));
  return [text(present, false), text(present, true), text(kept, false), text(kept, true)];
}

/** An address cannot be a bucket's name, and nothing but this machine is called localhost. */
const unmistakable = /^(?:\d{1,3}(?:\.\d{1,3}){3}|localhost)$/;

/** The canonical resources that a request may be signed with, the standard one first. */
export function canonicalResources(request: WireRequest, target: Target): string[] {
  const bases = pathForms(pathOf(request)).map((form) => (target.style === 'host' ? `/${target.bucket}${form}` : form));
  if (target.bucket !== undefined && target.key === undefined) {
    // `/bucket` and `/bucket/` are the same; clients write one and sign the other.
    for (const base of [...bases]) bases.push(base.endsWith('/') ? base.slice(0, -1) : `${base}/`);
  }
  return combine(bases, queryForms(request));
}

/**
 * `/HOST/bucket/key`, which Debian's s3curl signs where the host is not AWS's.
 * Empty when a bucket of that name exists: a request signed for that bucket would be accepted for another one under a
 * forged Host header. Whoever cannot tell (`isBucket` undefined) gets it for addresses and localhost only.
 */
export async function hostResources(
  request: WireRequest,
  headers: Headers,
  isBucket: ((name: string) => Promise<boolean>) | undefined,
): Promise<string[]> {
  const host = hostName(headers.get('host') ?? '');
  const taken = host === '' || (isBucket === undefined ? !unmistakable.test(host) : await isBucket(host));
  if (taken) return [];
  const bases = pathForms(pathOf(request)).map((form) => `/${host}${form}`);
  return combine(bases, queryForms(request));
}

function pathOf(request: WireRequest): string {
  return request.rawPath === '' ? '/' : request.rawPath;
}

function combine(bases: readonly string[], queries: readonly string[]): string[] {
  return [...new Set(bases.flatMap((base) => queries.map((query) => base + query)))];
}
