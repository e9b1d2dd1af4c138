/** Commits to a catalog until it is killed; tells the last event that was committed. */
import { openCatalog } from '../../sync/catalog.js';

const catalog = openCatalog(process.argv[2]!, 0);
for (;;) {
  const seq = catalog.lastSeq() + 1;
  const entry = { size: 3, mtimeNs: 1n, ctimeNs: 1n, ino: BigInt(seq), etag: '', write: '' };
  catalog.commit({
    objects: [
      [`d/${seq}`, entry],
      [`e/${seq}`, entry],
    ],
    events: [{ name: 'ObjectCreated:Put', key: `d/${seq}`, door: 'filesystem', time: seq }],
  });
  process.send!(seq);
}
