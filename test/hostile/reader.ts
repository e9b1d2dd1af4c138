/** Somebody else, in a thread of his own, who reads a public object all the time: how long does he have to wait? */
import http from 'node:http';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

export interface Reader {
  /** Milliseconds that the slowest read took since the last time that somebody asked. */
  worst(): Promise<number>;
  stop(): Promise<void>;
}

export async function startReader(url: string): Promise<Reader> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { readerOf: url } });
  const failed = new Promise<never>((_, reject) => worker.on('error', reject));
  failed.catch(() => {});
  const next = () => new Promise<number>((resolve) => worker.once('message', resolve));
  await Promise.race([next(), failed]);
  return {
    worst() {
      worker.postMessage('worst');
      return Promise.race([next(), failed]);
    },
    stop: async () => void (await worker.terminate()),
  };
}

function read(url: string, agent: http.Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent }, (reply) => {
      if (reply.statusCode !== 200) reject(new Error(`${url}: ${reply.statusCode}`));
      reply.on('end', resolve).on('error', reject).resume();
    });
    request.on('error', reject);
  });
}

if (!isMainThread && typeof workerData?.readerOf === 'string') {
  const agent = new http.Agent({ keepAlive: true });
  let worst = 0;
  parentPort!.on('message', () => {
    // What is under way counts too: asked in the middle of it, the answer comes with its end.
    void reading.then(() => {
      parentPort!.postMessage(worst);
      worst = 0;
    });
  });
  let reading = read(workerData.readerOf, agent);
  await reading;
  parentPort!.postMessage(0);
  for (;;) {
    const began = performance.now();
    reading = read(workerData.readerOf, agent);
    await reading;
    worst = Math.max(worst, performance.now() - began);
  }
}
