/** The worker thread of the posix store: all its operations. */
import { documentOps } from './documents-ops.js';
import { probeOps } from './probe.js';
import { serve } from './worker-loop.js';

const ops = { ...documentOps, ...probeOps };

export type Ops = typeof ops;

serve(ops);
