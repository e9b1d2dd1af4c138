/** `tidegate inventory`: everything that is in a bucket, as S3 Inventory writes it. */
import { randomUUID } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { pathExists } from 'fs-extra/esm';
import { partialOf, writeInventory, writeManifest } from '../../sync/inventory.js';
import { Complaint } from '../complaint.js';
import { withService } from '../main.js';
import type { Place } from '../storage/types.js';
import { size } from './figures.js';
import { oneOf } from './options.js';
import { type CommonOptions, example, print, subCommand } from './run.js';

interface InventoryOptions extends CommonOptions {
  bucket?: string;
  out?: string;
  format?: string;
}

const single = '.csv.gz';

export function addInventoryCommand(parent: Command): void {
  const inventory = subCommand(
    parent,
    'inventory',
    'write a list of all objects of a bucket, in the form of S3 Inventory',
  )
    .requiredOption('-b, --bucket <BUCKET>', 'the bucket')
    .requiredOption(
      '--out <DIR|FILE>',
      `a directory for list and manifest, or a file that ends in ${single} for the list alone`,
    )
    .option('--format <FORMAT>', 'csv: a line for each object, gzipped', 'csv')
    .addHelpText(
      'after',
      `
Columns: Bucket, Key (URL-encoded), Size, LastModifiedDate, ETag, StorageClass, IsMultipartUploaded, ChecksumAlgorithm,
ObjectOwner. As on S3 there is no line with their names: manifest.json has them, with the size and the MD5 of the list;
manifest.checksum has the MD5 of the manifest. Below DIR they are
  BUCKET/TIME/manifest.json, BUCKET/TIME/manifest.checksum, BUCKET/data/UUID.csv.gz
The names are read from the filesystem, so it needs no gateway and no sync. An ETag that ends in -0 was made from a file's
times: 'tidegate sync' gives such files their MD5.`,
    )
    .action(async (_: unknown, command: Command) => write(command.optsWithGlobals()));
  example(
    inventory,
    'tidegate inventory -b results --out /sqfs/inventories',
    'tidegate inventory -b results --out results.csv.gz --json',
  );
}

async function write(options: InventoryOptions): Promise<void> {
  const format = oneOf('--format', ['csv'], options.format ?? 'csv');
  const out = resolve(options.out ?? '');
  await withService(options, { make: false }, async ({ storage, registry }) => {
    const bucket = await storage.bucket(options.bucket ?? '');
    if (!bucket) throw new Complaint(`there is no bucket ${options.bucket}: 'tidegate bucket list' shows them`);
    const owner = await registry.account(bucket.owner);
    if (!owner) throw new Complaint(`the owner ${bucket.owner} of bucket ${bucket.name} is no account`);
    const at: Place = { bucket, actor: owner.actor };
    const page = (after: string) => storage.list(at, { prefix: '', delimiter: '', after, limit: 1000 });

    const created = Date.now();
    const id = `data/${randomUUID()}${single}`;
    const path = out.endsWith(single) ? out : join(out, bucket.name, id);
    const partial = partialOf(path);
    const own = await keyBelow(bucket.path, partial);
    const file = await writeInventory(bucket, page, { path, partial }, (key) => key === own);
    if (path === out) {
      return print(options, { bucket: bucket.name, format, ...file }, written(file.objects, file.bytes, path));
    }
    // `2026-01-02T03-04Z`, as S3 names it.
    const time = `${new Date(created).toISOString().slice(0, 16).replace(':', '-')}Z`;
    const directory = join(out, bucket.name, time);
    await writeManifest(directory, { bucket: bucket.name, file, key: `${bucket.name}/${id}`, created });
    const manifest = join(directory, 'manifest.json');
    print(options, { bucket: bucket.name, format, manifest, ...file }, written(file.objects, file.bytes, manifest));
  });
}

const written = (objects: number, bytes: number, path: string): string =>
  `${objects} objects, ${size(bytes)}: ${path}\n`;

/** The key of a file that is going to be made, when it lies in the bucket. */
async function keyBelow(bucket: string, path: string): Promise<string | undefined> {
  let there = dirname(path);
  while (!(await pathExists(there)) && dirname(there) !== there) there = dirname(there);
  const real = join(await realpath(there), relative(there, dirname(path)), basename(path));
  const key = relative(await realpath(bucket), real);
  return key.startsWith('..') ? undefined : key;
}
