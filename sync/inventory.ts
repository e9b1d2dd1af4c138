/**
 * The inventory of a bucket in the form of S3 Inventory: a gzipped CSV file, `manifest.json` and `manifest.checksum`
 * ("Amazon S3 Inventory", sections "Inventory list" and "Inventory manifest").
 *
 * It is made from the listing, not from the catalog: names on the filesystem are the truth, it needs no leader, and is the
 * same whether gateways run or not. Pages are written as they come: no more than one is in memory.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Bucket, ListedObject, ListPage } from '../gateway/storage/types.js';

/** The columns, by S3's names and in its order. */
export const inventoryFields = [
  'Bucket',
  'Key',
  'Size',
  'LastModifiedDate',
  'ETag',
  'StorageClass',
  'IsMultipartUploaded',
  'ChecksumAlgorithm',
  'ObjectOwner',
] as const;

/** `%` and what is no ASCII letter, digit or `-_.!~*'()/`: read back alike by those who take `+` for a blank and who do not. */
const encodeKey = (key: string): string => key.split('/').map(encodeURIComponent).join('/');

/** A CSV line, every field in quotation marks. */
export function inventoryLine({ name, owner }: Bucket, object: ListedObject): string {
  const fields: Record<(typeof inventoryFields)[number], string> = {
    Bucket: name,
    Key: encodeKey(object.key),
    Size: String(object.size),
    LastModifiedDate: new Date(object.lastModified).toISOString(),
    ETag: object.etag,
    StorageClass: 'STANDARD',
    // A number of parts: `-0` is an ETag that was made from a file's times.
    IsMultipartUploaded: String(/^[0-9a-f]{32}-[1-9]\d*$/.test(object.etag)),
    ChecksumAlgorithm: object.checksum?.algorithm ?? '',
    ObjectOwner: object.owner ?? owner,
  };
  return `${inventoryFields.map((field) => `"${fields[field].replaceAll('"', '""')}"`).join(',')}\n`;
}

export interface DataFile {
  path: string;
  objects: number;
  /** Bytes of the objects. */
  bytes: number;
  /** Of the file itself. */
  size: number;
  md5: string;
}

/**
 * Writes the list into a gzipped CSV file, which has its name only when it is whole.
 * @param page the listing behind a key
 * @param partial where it is written until then, in the same directory (`partialOf`)
 * @param isOwn whether a key is that file, which stands in the bucket when the list is written there
 */
export async function writeInventory(
  bucket: Bucket,
  page: (after: string) => Promise<ListPage>,
  { path, partial }: { path: string; partial: string },
  isOwn: (key: string) => boolean,
): Promise<DataFile> {
  const file: DataFile = { path, objects: 0, bytes: 0, size: 0, md5: '' };
  const digest = createHash('md5');

  async function* lines(): AsyncGenerator<string> {
    for (let after: string | undefined = ''; after !== undefined; ) {
      const { objects, next }: ListPage = await page(after);
      const listed = objects.filter(({ key }) => !isOwn(key));
      file.objects += listed.length;
      for (const { size } of listed) file.bytes += size;
      // An empty chunk would end nothing, but a stream of text does not take it.
      if (listed.length > 0) yield listed.map((object) => inventoryLine(bucket, object)).join('');
      after = next;
    }
  }
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      file.size += chunk.length;
      digest.update(chunk);
      done(null, chunk);
    },
  });
  await mkdir(dirname(path), { recursive: true });
  try {
    const out = createWriteStream(partial, { flags: 'wx', flush: true });
    await pipeline(Readable.from(lines()), createGzip(), measure, out);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  file.md5 = digest.digest('hex');
  return file;
}

/** Another one each time: a file that a crash left is in nobody's way. */
export const partialOf = (path: string): string => join(dirname(path), `.${basename(path)}.${randomUUID()}.partial`);

/** `manifest.json` and `manifest.checksum` (its MD5) beside each other; the second last: it says that all is there. */
export async function writeManifest(
  directory: string,
  { bucket, file, key, created }: { bucket: string; file: DataFile; key: string; created: number },
): Promise<void> {
  const manifest = {
    sourceBucket: bucket,
    destinationBucket: `arn:aws:s3:::${bucket}`,
    version: '2016-11-30',
    creationTimestamp: String(created),
    fileFormat: 'CSV',
    fileSchema: inventoryFields.join(', '),
    files: [{ key, size: file.size, MD5checksum: file.md5 }],
  };
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  await mkdir(directory, { recursive: true });
  await replaceFile(join(directory, 'manifest.json'), text);
  await replaceFile(join(directory, 'manifest.checksum'), createHash('md5').update(text).digest('hex'));
}

async function replaceFile(path: string, text: string): Promise<void> {
  const partial = partialOf(path);
  await writeFile(partial, text, { flush: true });
  await rename(partial, path);
}
