/** What the way of a request needs of the gateway. */
import type { Addresses } from '../../acl/addresses.js';
import type { Identities } from '../../acl/registry.js';
import type { SyncControl } from '../../sync/control.js';
import type { IamService } from '../iam/service.js';
import type { Log } from '../observe/log.js';
import type { ChangeRecorder } from '../s3/recorded.js';
import type { Context, Operation } from '../s3/types.js';
import type { Storage } from '../storage/types.js';

export interface PipelineOptions {
  storage: Storage;
  identities: Identities;
  /** From where requests may come. */
  addresses: Addresses;
  operations: readonly Operation[];
  /** Absent: the IAM rows answer NotImplemented. */
  iam?: IamService | undefined;
  log: Log;
  /** Domains of virtual-host addressing. */
  hostStyle: readonly string[];
  region: string;
  maxBuckets: number;
  /** Requests in work at once; above it SlowDown. */
  maxRequests: number;
  /** Milliseconds that a client may be silent in the middle of its body. */
  idleMs: number;
  /** Writes down what requests change; undefined: nobody asks for it. */
  changes?: ChangeRecorder | undefined;
  /** See `Context`. */
  testEvent?: Context['testEvent'];
  /** Carries out BucketSync; undefined where the sync engine is switched off. */
  sync?: SyncControl | undefined;
}
