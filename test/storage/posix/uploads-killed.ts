/**
 * A process of its own for uploads.test.ts: completes uploads of one and two parts until it is killed; some of parts that lie in their
 * places. Keys end with the number and the size of the parts.
 */
import { createPosixStorage } from '../../../gateway/storage/posix/index.js';
import type { Part } from '../../../gateway/storage/types.js';
import { md5, newUpload, noise, putPart } from '../../suites/storage-tools.js';

const [root, name, round] = process.argv.slice(2) as [string, string, string];
const storage = await createPosixStorage({ root, workers: 2, durability: 'none' });
const bucket = (await storage.bucket(name))!;
const at = { bucket, actor: { uid: process.getuid!(), gid: process.getgid!(), groups: process.getgroups!() } };

const prepared = [];
for (let i = 0; i < 40; i++) {
  const count = 1 + (i % 2);
  const size = i % 4 < 2 ? 150_000 : 5 << 20;
  const upload = await newUpload(storage, at, `r${round}-${i}-${count}-${size}`);
  const parts: Part[] = [];
  for (let n = 1; n <= count; n++) parts.push(await putPart(storage, at, upload, n, noise(size, n)));
  prepared.push({ upload, parts });
}
console.log('go');
for (const { upload, parts } of prepared) {
  await storage.completeUpload(at, upload.key, upload.id, parts, {
    ...upload.meta,
    etag: `${md5(Buffer.concat(parts.map(({ etag }) => Buffer.from(etag, 'hex'))))}-${parts.length}`,
    uploadId: upload.id,
  });
  console.log('done', upload.key);
}
// Until it is killed.
setInterval(() => {}, 1_000);
