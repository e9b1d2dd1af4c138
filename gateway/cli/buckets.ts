/** `s3dsbucket …`, and the same as `tidegate bucket …`. */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { KeyEntry } from '../../acl/registry.js';
import { removeSyncDirectory } from '../../sync/places.js';
import { Complaint } from '../complaint.js';
import { S3Error } from '../errors.js';
import { type Service, withService } from '../main.js';
import { makeBucket } from '../s3/new-bucket.js';
import type { Bucket, Place, Storage } from '../storage/types.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { addBucketSyncCommand } from './sync.js';
import { table } from './table.js';

interface BucketOptions extends CommonOptions {
  key?: string;
  bucket?: string;
  force?: boolean;
  yesDelete?: string;
}

/** The columns of S3DS. */
const columns = ['CreationDate', 'Name', 'Path'] as const;
const fields = ({ created, name, path }: Bucket) => ({ CreationDate: created, Name: name, Path: path });
/** `2021-04-11 18:17:24`, in UTC as S3 tells it. */
const cells = (bucket: Bucket) => [bucket.created.slice(0, 19).replace('T', ' '), bucket.name, bucket.path];

/** `name`: what the user types before the sub-command, for the examples. */
export function addBucketCommands(parent: Command, name: string): void {
  const key: [string, string] = ['-k, --key <ACCESSKEY>', "a key of the bucket's owner"];
  const bucket: [string, string] = ['-b, --bucket <BUCKET>', 'name of the bucket'];

  example(
    subCommand(parent, 'create', 'make a bucket for the account of a key')
      .requiredOption(...key)
      .requiredOption(...bucket)
      .action(async (_: unknown, command: Command) => create(command.optsWithGlobals())),
    `${name} create --key=AKIAABCDEFGHIJKLMNOP --bucket=results`,
  );
  example(
    subCommand(parent, 'list', 'show the buckets and where their files lie')
      .option('-k, --key <ACCESSKEY>', 'only those of the account of this key')
      .action(async (_: unknown, command: Command) => list(command.optsWithGlobals())),
    `${name} list --key=AKIAABCDEFGHIJKLMNOP`,
  );
  addBucketSyncCommand(parent, name);
  example(
    subCommand(parent, 'delete', 'delete an empty bucket, or with --force one with everything in it')
      .requiredOption(...key)
      .requiredOption(...bucket)
      .option('--force', 'delete the objects too, after you have typed the name of the bucket')
      .option('--yes-delete <BUCKET>', 'with --force: the name, instead of asking for it')
      .action(async (_: unknown, command: Command) => remove(command.optsWithGlobals())),
    `${name} delete --key AKIAABCDEFGHIJKLMNOP --bucket results`,
    `${name} delete --key AKIAABCDEFGHIJKLMNOP --bucket results --force --yes-delete results`,
  );
}

async function ownerOf({ registry }: Service, accessKey: string): Promise<KeyEntry> {
  const entry = await registry.find(accessKey);
  if (entry === undefined) throw new Complaint(`there is no access key ${accessKey}: 's3dskey list' shows the keys`);
  return entry;
}

async function create(options: BucketOptions): Promise<void> {
  const name = options.bucket ?? '';
  await withService(options, { make: false }, async (service) => {
    const { account } = await ownerOf(service, options.key ?? '');
    const { storage, config } = service;
    const { bucket, made } = await makeBucket(storage, account, { name }, config.maxBuckets).catch((error: unknown) => {
      throw explained(error, name, config.maxBuckets);
    });
    if (!made) throw new Complaint(`bucket ${name} is yours already, at ${bucket.path}`);
    print(options, fields(bucket), table([cells(bucket)], columns));
  });
}

/** What S3 says to programs, in the words for the person at the terminal. */
function explained(error: unknown, name: string, maxBuckets: number): unknown {
  if (!(error instanceof S3Error)) return error;
  switch (error.code) {
    case 'InvalidBucketName':
      return new Complaint(
        `${JSON.stringify(name)} is no name for a bucket: 3 to 63 of a-z, 0-9, - and ., a letter or digit at both ends, ` +
          'no IP address, none of the prefixes and suffixes that S3 keeps for itself (xn--, -s3alias)',
        2,
      );
    case 'BucketAlreadyExists':
      return new Complaint(`bucket ${name} belongs to another account: take another name`);
    case 'TooManyBuckets':
      return new Complaint(`the account has as many buckets as maxBuckets allows: ${maxBuckets}`);
    default:
      return error;
  }
}

async function list(options: BucketOptions): Promise<void> {
  await withService(options, { make: false }, async (service) => {
    const owner = options.key === undefined ? undefined : (await ownerOf(service, options.key)).account.uuid;
    const buckets = (await service.storage.listBuckets()).filter((one) => owner === undefined || one.owner === owner);
    print(options, buckets.map(fields), table(buckets.map(cells), columns));
  });
}

async function remove(options: BucketOptions): Promise<void> {
  const name = options.bucket ?? '';
  if (options.yesDelete !== undefined && options.force !== true) {
    throw new Complaint('--yes-delete answers the question of --force: give both, or neither', 2);
  }
  await withService(options, { make: false }, async (service) => {
    const { account } = await ownerOf(service, options.key ?? '');
    const bucket = await service.storage.bucket(name);
    if (bucket === undefined) throw new Complaint(`there is no bucket ${name}: 'list' shows the buckets`);
    if (bucket.owner !== account.uuid) {
      throw new Complaint(`bucket ${name} does not belong to the account of ${options.key}: give a key of its owner`);
    }
    const at: Place = { bucket, actor: account.actor };
    const objects = options.force === true ? await empty(service.storage, at, options) : 0;
    await service.storage.deleteBucket(at);
    await removeSyncDirectory(service.config.root, bucket);
    const deleted = options.force === true ? ` and ${objects} objects in it` : '';
    print(options, { deleted: name, objects }, `deleted bucket ${name}${deleted}\n`);
  });
}

/** Deletes every object and upload, after the name was typed; answers how many objects. */
async function empty(storage: Storage, at: Place, options: BucketOptions): Promise<number> {
  const { name, path } = at.bucket;
  const typed = options.yesDelete ?? (await askName(name, path));
  if (typed !== name) throw new Complaint(`that is not the name of the bucket (${name}): nothing was deleted`, 2);

  let uploads = { keyMarker: '', uploadIdMarker: '' };
  for (;;) {
    const page = await storage.listUploads(at, { prefix: '', delimiter: '', limit: 1000, ...uploads });
    for (const { key, id } of page.uploads) await storage.abortUpload(at, key, id);
    if (page.next === undefined) break;
    uploads = { keyMarker: page.next.key, uploadIdMarker: page.next.uploadId };
  }

  let count = 0;
  for (let after = ''; ; ) {
    const page = await storage.list(at, { prefix: '', delimiter: '', after, limit: 1000 });
    for (let start = 0; start < page.objects.length; start += 32) {
      await Promise.all(page.objects.slice(start, start + 32).map(({ key }) => storage.remove(at, key)));
    }
    count += page.objects.length;
    if (page.next === undefined) return count;
    after = page.next;
  }
}

async function askName(name: string, path: string): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new Complaint(`nobody is there to type the name of the bucket: give --yes-delete ${name}`, 2);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(`This deletes every file under ${path}. Type the bucket's name to go on: `)).trim();
  } finally {
    terminal.close();
  }
}
