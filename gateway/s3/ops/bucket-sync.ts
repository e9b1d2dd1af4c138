/**
 * BucketSync of the S3 Data Service (S3DS): what jobs did to the files of a bucket is taken up now, and the answer says what
 * that was. Three forms: the header `x-ddn-bucket-sync-ops`, an XML body, or neither for all operations.
 */
import type { SyncControl } from '../../../sync/control.js';
import { type SyncOp, type SyncRequest, type SyncRun, syncOps } from '../../../sync/types.js';
import { S3Error } from '../../errors.js';
import { maxKeyBytes } from '../../storage/keys.js';
import { readDocument } from '../payload.js';
import type { Context, Handler, XmlValue } from '../types.js';
import { readSyncOperation } from '../xml/sync-shapes.js';

/** `PUT /bucket?sync`. 200 with the summary at the end; with `background` 202 at once, and `GET /bucket?sync` tells the rest. */
export const putBucketSync: Handler = async (context) => {
  const { place, identity, sync } = context;
  const control = required(sync);
  const { background, ...request } = await readRequest(context);
  const asked = await control.request(place.bucket, request, identity.account?.uuid ?? '');
  if (!asked) throw new S3Error('SlowDown', { message: 'Too many syncs of this bucket wait already.' });
  const { bucket } = place;
  const headers = { 'x-tidegate-sync-id': asked.run.id, 'x-tidegate-sync-joined': asked.joined ? 'true' : undefined };
  if (background)
    return { status: 202, headers, body: { xml: { BucketSyncResult: elementsOf(bucket.name, asked.run) } } };
  const summary = async () => {
    const run = await control.wait(bucket, asked.run.id);
    if (!run) throw new S3Error('NoSuchBucket', { fields: { BucketName: bucket.name } });
    if (run.state === 'failed') {
      throw new S3Error('ServiceUnavailable', { message: `The sync failed: ${run.message ?? 'for no known reason'}` });
    }
    return { BucketSyncResult: elementsOf(bucket.name, run) };
  };
  return { headers, body: { slowXml: summary() } };
};

/** `GET /bucket?sync`: the sync that runs, those that wait, and the last that ended, with their progress. */
export const getBucketSync: Handler = async ({ place: { bucket }, sync }) => {
  const state = await required(sync).state(bucket);
  const runs = state ? [...(state.running ? [state.running] : []), ...state.queued, ...state.ended] : [];
  const BucketSyncStatus: XmlValue = {
    Bucket: bucket.name,
    LastFullScan: state?.lastFullScan,
    Objects: state?.totals?.objects,
    Bytes: state?.totals?.bytes,
    CountedAt: state?.totals?.at,
    Leader: state?.leader && { Host: state.leader.host, Since: state.leader.since },
    Sync: runs.map((run) => elementsOf(undefined, run)),
  };
  return { body: { xml: { BucketSyncStatus } } };
};

function required(sync: SyncControl | undefined): SyncControl {
  if (sync) return sync;
  throw new S3Error('NotImplemented', { message: 'The sync engine of this gateway is switched off.' });
}

async function readRequest(context: Context): Promise<SyncRequest & { background: boolean }> {
  const { headers, query } = context;
  const bytes = await readDocument(context);
  // `curl -T emptyPayload` of a file that an editor has touched has a line end in it.
  const body = isBlank(bytes) ? undefined : readSyncOperation(bytes);
  const header = headers.get('x-ddn-bucket-sync-ops');
  if (header !== undefined && body?.ops !== undefined) {
    throw new S3Error('InvalidRequest', {
      message: 'Name the operations in the header x-ddn-bucket-sync-ops or in the body, not in both.',
    });
  }
  // Policies are asked about the parameter (`s3:prefix`).
  if (body?.prefix !== undefined && query.has('prefix')) {
    throw new S3Error('InvalidRequest', { message: 'Name the prefix as a parameter or in the body, not in both.' });
  }
  const prefix = body?.prefix ?? query.get('prefix') ?? '';
  // No key begins with it, and it would be kept with those that wait.
  if (Buffer.byteLength(prefix) > maxKeyBytes) {
    throw new S3Error('InvalidArgument', {
      message: `A prefix has at most ${maxKeyBytes} bytes, as a key has.`,
      fields: { ArgumentName: 'prefix' },
    });
  }
  const flag = (name: string, given: boolean | undefined) => given ?? isTrue(name, query.get(name));
  return {
    ops: readOps(header ?? body?.ops),
    prefix,
    dryRun: flag('dry-run', body?.dryRun),
    background: flag('background', body?.background),
  };
}

const isBlank = (bytes: Uint8Array): boolean => bytes.every((byte) => byte <= 0x20);

/** `WRITE,UPDATE,DELETE`, in any order; nothing given is all of them. @throws S3Error InvalidArgument */
function readOps(text: string | undefined): SyncOp[] {
  if (text === undefined) return [...syncOps];
  const words = text.split(',').map((word) => word.trim());
  const unknown = words.find((word) => !(syncOps as readonly string[]).includes(word));
  if (unknown === undefined) return syncOps.filter((op) => words.includes(op));
  throw new S3Error('InvalidArgument', {
    message: `${JSON.stringify(unknown)} is no sync operation: ${syncOps.join(', ')} are.`,
    fields: { ArgumentName: 'x-ddn-bucket-sync-ops', ArgumentValue: text },
  });
}

/** `?background`, `?background=true`. @throws S3Error InvalidArgument */
function isTrue(name: string, value: string | undefined): boolean {
  if (value === undefined || value === 'false') return false;
  if (value === '' || value === 'true') return true;
  throw new S3Error('InvalidArgument', {
    message: `${name} is true or false.`,
    fields: { ArgumentName: name, ArgumentValue: value },
  });
}

function elementsOf(bucket: string | undefined, run: SyncRun): { [name: string]: XmlValue } {
  const { counts, progress, started, finished } = run;
  return {
    Bucket: bucket,
    SyncId: run.id,
    State: run.state,
    Operations: run.ops.join(','),
    Prefix: run.prefix === '' ? undefined : run.prefix,
    DryRun: run.dryRun || undefined,
    Requested: run.requested,
    Started: started,
    Finished: finished,
    Seconds: started && finished ? (Date.parse(finished) - Date.parse(started)) / 1000 : undefined,
    Progress: run.state === 'running' ? { Seen: progress.seen, Expected: progress.expected } : undefined,
    Added: counts.added,
    Updated: counts.updated,
    Deleted: counts.deleted,
    Renamed: counts.renamed,
    Unchanged: counts.unchanged,
    Unsettled: counts.unsettled,
    BytesHashed: counts.bytesHashed,
    Errors: counts.errors,
    Message: run.message,
  };
}
