// timeout: 400
/** The store passes the suite of every store on a network filesystem as well. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { createPosixStorage } from '../../gateway/storage/posix/index.js';
import { storageSuite } from '../suites/storage.js';
import { haveGluster, startVolume } from '../support/gluster.js';

if (haveGluster()) {
  storageSuite('posix storage on GlusterFS', async () => {
    const volume = await startVolume();
    const root = join(await volume.mount(), 'root');
    mkdirSync(root);
    const storage = await createPosixStorage({ root, durability: 'none', workers: 3 });
    return { storage, cleanup: volume.stop };
  });
} else {
  const skipped = suite('posix storage on GlusterFS');
  skipped.skip('needs root, FUSE, glusterfs-server and glusterfs-client', () => {});
  skipped.run();
}
