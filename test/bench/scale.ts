/** How much is done: all of it, or as much as ends within three minutes. */

export interface Scale {
  quick: boolean;
  /** Of a timed run; wrk takes at least one. */
  seconds: number;
  rounds: number;
  /** MiB of the largest objects. */
  huge: number;
  /** Files of the large listings. */
  files: number;
  /** Files in each directory of the spread listing. */
  perDirectory: number;
  /** Objects that GETs go round. */
  objects: number;
  deletes: number;
  /** Seconds to wait for the gateway to be done with the load before. */
  patience: number;
  /** Space that is needed, in MiB, and files. */
  diskMiB: number;
  inodes: number;
  /** Seconds after which no further load begins. */
  limit: number;
}

export const full: Scale = {
  quick: false,
  seconds: 2,
  rounds: 5,
  huge: 1024,
  files: 1_000_000,
  perDirectory: 100,
  objects: 512,
  deletes: 4000,
  patience: 120,
  diskMiB: 16 * 1024,
  inodes: 2_500_000,
  limit: 3600,
};

export const quick: Scale = {
  quick: true,
  seconds: 0.4,
  rounds: 2,
  huge: 256,
  files: 50_000,
  perDirectory: 100,
  objects: 256,
  deletes: 400,
  patience: 1,
  diskMiB: 4 * 1024,
  inodes: 300_000,
  limit: 140,
};
