import { createMemoryStorage } from '../../gateway/storage/memory.js';
import { storageSuite } from '../suites/storage.js';

storageSuite('storage in memory', async () => ({ storage: createMemoryStorage(), cleanup: async () => undefined }));
