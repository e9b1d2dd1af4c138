/** What the gateway must reach on two cores, durability and checks on: as a ratio to the reference, or as a value. */
import type { Limit } from './row.js';

const limit = (floor: number, aim: number | null = null): Limit => ({ floor, aim });

export const limits = {
  /** Of raw node:http from memory. */
  smallGet: limit(0.45, 0.55),
  smallHead: limit(0.45, 0.6),
  /** Times the bare temp-write-xattr-rename. */
  smallPutNone: limit(3, 2),
  /** Times the bare temp-write-xattr-fsync-rename-fsync. */
  smallPutFull: limit(1.2, 1.1),
  /** Of nginx with sendfile. */
  largeGet: limit(1, 1.4),
  /** CPU-ms per GB. */
  largeGetCpu: limit(350),
  /** Of the bare write. */
  largePutFast: limit(0.6, 0.8),
  /** Of one core's MD5. */
  largePut: limit(0.85, 0.95),
  largePut4: limit(1, 2),
  /** Of the plain PUT. */
  chunkedPut: limit(0.93, 0.97),
  /** Times the bare system calls. */
  listPage: limit(1.7, 1.3),
  /** Times a getdents pass. */
  firstPage: limit(1.3),
  /** ms. */
  nextPage: limit(20),
  /** Times `find` sorted. */
  fullListing: limit(3, 1.5),
  /** ms, 99th percentile. */
  stall: limit(5, 2),
  /** MiB. */
  memory: limit(300, 200),
  /** Of as many bare threads on a filesystem that takes a millisecond for each call. */
  slow: limit(0.7),
  /** us. */
  verification: limit(8),
  /** s. */
  start: limit(0.5),
} as const;
