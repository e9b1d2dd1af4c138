/** The store over a filesystem passes the suite of every store, with attributes and with sidecar files. */
import { createPosixStorage } from '../../../gateway/storage/posix/index.js';
import { storageSuite } from '../../suites/storage.js';
import { tempDir } from '../../support/temp.js';

for (const sidecars of [false, true]) {
  storageSuite(`posix storage, ${sidecars ? 'sidecars' : 'attributes'}`, async () => ({
    storage: await createPosixStorage({ root: tempDir(), durability: 'none', workers: 3, sidecars }),
    cleanup: async () => undefined,
  }));
}
