/** The worker thread of the posix store: all its operations. */
import { loadDigests } from '../digest.js';
import { bucketOps } from './bucket-ops.js';
import { documentOps } from './documents-ops.js';
import { listOps } from './list-ops.js';
import { objectOps } from './objects.js';
import { orphanOps } from './orphan-ops.js';
import { probeOps } from './probe.js';
import { reapOps } from './reap.js';
import { stampOps } from './stamp-ops.js';
import { transferOps } from './transfer.js';
import { uploadOps } from './upload-ops.js';
import { serve } from './worker-loop.js';

const ops = {
  ...bucketOps,
  ...documentOps,
  ...objectOps,
  ...orphanOps,
  ...probeOps,
  ...reapOps,
  ...stampOps,
  ...transferOps,
  ...uploadOps,
  ...listOps,
};

export type Ops = typeof ops;

await loadDigests();
serve(ops);
