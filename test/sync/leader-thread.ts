/** A thread that leads and then ends by an error, for leader.test.ts. */
import { workerData } from 'node:worker_threads';
import { createCandidate } from '../../sync/leader.js';

const lease = createCandidate(workerData as string, { host: 'thread', pid: process.pid }).tryLead();
throw new Error(`after epoch ${lease?.epoch}`);
