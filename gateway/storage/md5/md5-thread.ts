/** A thread that digests for all uploads of its process. It makes no system calls of its own, so that no mount can stop it. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { standBehind } from '../priority.js';
import { createEngine } from './engine.js';
import type { SharedMemory } from './memory.js';
import { createWork, type Order } from './work.js';

export interface Md5ThreadStart {
  memory: SharedMemory;
  /** Of the memory, for this thread alone. */
  page: number;
}

const port = parentPort;
if (!port) throw new Error('not a worker thread');
standBehind();
const { memory, page } = workerData as Md5ThreadStart;
const work = createWork(createEngine(memory, page));

port.on('message', (first: Order) => {
  work.accept(first);
  while (work.waits) {
    const answers = work.step();
    if (answers.length > 0) port.postMessage(answers);
    // Streams that have bytes by now join.
    for (let more = receiveMessageOnPort(port); more; more = receiveMessageOnPort(port)) work.accept(more.message);
  }
});
