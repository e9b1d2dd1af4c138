/** Numbers of what a lane keeps between its calls. */
import { threadId } from 'node:worker_threads';

/**
 * Those of other threads are others: a worker that takes the place of one that was lost has its lane, and whoever knows
 * something of the lost one must not reach what is another's here.
 */
let last = threadId * 2 ** 32;

export const newLaneId = (): number => ++last;
