/** A bucket whose files are stamped, for the tests. */
import { statSync } from 'node:fs';
import type { Fingerprint } from '../../acl/metadata/stamp.js';
import type { PosixOptions } from '../../gateway/storage/posix/index.js';
import type { StampHow } from '../../gateway/storage/posix/stamp-ops.js';
import { createStamper, type Stamper, type StamperOptions, type StampResult } from '../../sync/hash.js';
import { type Bench, openBench } from '../storage/posix/store.js';

export interface StampBench extends Bench {
  stamper: Stamper;
  /** Looks at the file and stamps it: quiet at once, owned by `job`. */
  stamp(key: string, how?: Partial<StampHow>, seen?: Fingerprint): Promise<StampResult>;
  close(): Promise<void>;
}

export const fingerprintOf = (path: string): Fingerprint => {
  const { size, mtimeNs, ctimeNs, ino } = statSync(path, { bigint: true });
  return { size: Number(size), mtimeNs, ctimeNs, ino };
};

export const openStamping = async (
  options: Partial<PosixOptions> & Partial<StamperOptions> = {},
): Promise<StampBench> => {
  const bench = await openBench(options);
  const { hashers = 2, hashRate = 0, hashIops = 0, checksum, durability = 'none', sidecars = false } = options;
  const stamper = createStamper({
    hashers,
    hashRate,
    hashIops,
    checksum,
    ground: { durability, sidecars, fileMode: 0o644, directoryMode: 0o755 },
    documents: bench.storage.documents,
  });
  return {
    ...bench,
    stamper,
    stamp: (key, how = {}, seen = fingerprintOf(bench.file(key))) =>
      stamper.stamp(bench.at, key, seen, { quietMs: 0, owner: 'job', ...how }),
    close: async () => {
      await stamper.close();
      await bench.storage.close();
    },
  };
};

/** That it was stamped; the answer. */
export const stamped = async (result: Promise<StampResult>): Promise<Extract<StampResult, { outcome: 'stamped' }>> => {
  const told = await result;
  if (told.outcome !== 'stamped') throw new Error(`not stamped: ${JSON.stringify(told, bigints)}`);
  return told;
};

export const bigints = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}` : value);
