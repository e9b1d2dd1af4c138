/** What every `Storage` must do: the store in memory and the one over a filesystem run the same tests. */
import { suite, type uvu } from 'uvu';
import type { Actor, Place, Storage } from '../../gateway/storage/types.js';
import { bucketTests } from './storage-buckets.js';
import { conditionTests } from './storage-conditions.js';
import { digestTests } from './storage-digests.js';
import { documentTests } from './storage-documents.js';
import { keyTests } from './storage-keys.js';
import { listingTests } from './storage-listing.js';
import { objectTests } from './storage-objects.js';
import { owner } from './storage-tools.js';
import { uploadTests } from './storage-uploads.js';

export interface Made {
  storage: Storage;
  cleanup(): Promise<void>;
}

/** What the groups of tests work with. */
export interface Bench {
  readonly storage: Storage;
  readonly actor: Actor;
  /** A new empty bucket. */
  place(): Promise<Place>;
}

export type Tests = (test: uvu.Test<object>, bench: Bench) => void;

/** Defines and runs the whole suite. `make` gives an empty store; it is called once. */
export function storageSuite(name: string, make: () => Promise<Made>): void {
  const test = suite<object>(name);
  const actor: Actor = {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    groups: process.getgroups?.() ?? [],
  };
  let made: Made;
  let serial = 0;
  const bench: Bench = {
    get storage() {
      return made.storage;
    },
    actor,
    async place() {
      const bucket = await made.storage.createBucket({ name: `bucket-${serial++}`, owner }, actor);
      return { bucket, actor };
    },
  };
  test.before(async () => {
    made = await make();
  });
  test.after(async () => {
    await made.storage.close();
    await made.cleanup();
  });
  for (const tests of [
    objectTests,
    digestTests,
    keyTests,
    conditionTests,
    listingTests,
    uploadTests,
    documentTests,
    bucketTests,
  ] satisfies Tests[]) {
    tests(test, bench);
  }
  test.run();
}
