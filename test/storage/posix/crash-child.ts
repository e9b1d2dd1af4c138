/** Changes keys and buckets in every way as fast as it can, and tells of each begin and success, until it is killed. */
import { bodyOf, md5, newUpload, noise, putPart, request } from '../../suites/storage-tools.js';
import { me, openBench } from './store.js';

const [root, round, sidecars] = process.argv.slice(2) as [string, string, string];
const { storage, at } = await openBench({ root, durability: 'data', sidecars: sidecars === 'true' });
let seed = Number(round) * 100_000;

/** Large records lie in overflow files, which must be of the content that they stand beside. */
const recordOf = (mine: number) => ({
  user: { seed: String(mine), ...(mine % 4 === 0 && { big: `${mine}:`.repeat(1000) }) },
});

/** Each has keys of its own: what it told last of one is what must stand there, or what it had begun. */
const writer = async (which: number): Promise<void> => {
  for (let turn = 0; ; turn++) {
    const mine = ++seed;
    const key = `d${mine % 5}/e/w${which}-${mine % 8}`;
    const size = mine % 3 === 0 ? 400_000 : mine % 1000;
    const bytes = noise(size, mine);
    const tell = (done: boolean, gone = false) => process.send!({ key, seed: gone ? 0 : mine, done });
    const way = (turn + which) % 6;
    tell(false, way === 4);
    if (way === 1) {
      await storage.put(at, `${key}.tmp`, bodyOf(bytes), request(recordOf(mine)));
      const source = await storage.open(at, `${key}.tmp`);
      await storage.copy(source, at, key, { digests: [], seal: () => source.info.meta });
      await source.close();
      await storage.remove(at, `${key}.tmp`);
    } else if (way === 2 || way === 3) {
      const upload = await newUpload(storage, at, key);
      const half = way === 2 ? size : size >> 1;
      const parts = [await putPart(storage, at, upload, 1, bytes.subarray(0, half))];
      if (way === 3) parts.push(await putPart(storage, at, upload, 2, bytes.subarray(half)));
      await storage.completeUpload(at, key, upload.id, parts, {
        etag: md5(bytes),
        headers: {},
        uploadId: upload.id,
        ...recordOf(mine),
      });
    } else if (way === 4) await storage.remove(at, key);
    else {
      await storage.put(at, key, bodyOf(bytes), request(recordOf(mine)));
      await storage.updateMeta(at, key, { tags: { seed: String(mine) } });
    }
    tell(true, way === 4);
  }
};

const bucketeer = async (): Promise<void> => {
  for (;;) {
    // What an interrupted deletion has left is made again.
    const made = await storage.createBucket({ name: 'brief', owner: 'owner' }, me).catch(() => undefined);
    const place = { bucket: made ?? (await storage.bucket('brief'))!, actor: me };
    await storage.put(place, 'a/b', bodyOf('content'), request());
    await newUpload(storage, place, 'c').catch(() => undefined);
    await storage.remove(place, 'a/b');
    await storage.deleteBucket(place);
  }
};

await Promise.all([...Array.from({ length: 5 }, (_, i) => writer(i)), bucketeer()]);
