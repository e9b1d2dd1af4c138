/**
 * Loaded into the gateway by `--import`, for the benchmark alone. It is told when a load begins and ends, a line of JSON each;
 * it answers how late the main thread was, and writes CPU profiles of all threads that listen where that was asked for.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { connect } from 'node:net';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads';

/** ms */
export interface Stall {
  p99: number;
  max: number;
}

export type ProbeOrder = { begin: { profile: string | undefined } } | { end: true } | { heap: true };

/** In the environment: the path of a socket. Node's own channel would not outlive that `serve` is executed anew. */
export const PROBE = 'TIDEGATE_BENCH_PROBE';

const resolution = 1;
const channelName = 'tidegate-bench';

/** Of this thread. */
let session: Session | undefined;

function begin(): void {
  session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: 250 });
  session.post('Profiler.start');
}

/** Hands over the profile of this thread, if it has been made. */
function end(take: (text: string) => void): void {
  session?.post('Profiler.stop', (error, { profile }) => {
    if (error) throw error;
    take(JSON.stringify(profile));
  });
  session?.disconnect();
  session = undefined;
}

const channel = new BroadcastChannel(channelName);
channel.unref();

const path = process.env[PROBE];
// In the processes of `serve --processes` too; not in others that the gateway starts and talks to.
if (isMainThread && path !== undefined && (process.env['TIDEGATE_PART'] !== undefined || process.send === undefined)) {
  const orders = connect(path);
  orders.unref();
  const send = (answer: object) => orders.write(`${JSON.stringify(answer)}\n`);
  const delays = monitorEventLoopDelay({ resolution });
  // What is recorded is the time from one timer to the next: what is above the resolution is the stall.
  const late = (ns: number) => Math.max(0, ns / 1e6 - resolution);
  let dir: string | undefined;
  const write = (thread: number, text: string) => {
    mkdirSync(dir!, { recursive: true });
    writeFileSync(join(dir!, `${process.pid}-${thread}-${Date.now()}.cpuprofile`), text);
  };
  // Written here: an I/O worker has become somebody who may not.
  channel.onmessage = (message) => {
    const { thread, text } = (message as { data: { thread: number; text: string } }).data;
    write(thread, text);
  };
  createInterface({ input: orders }).on('line', (line) => {
    const order: ProbeOrder = JSON.parse(line);
    if ('begin' in order) {
      dir = order.begin.profile;
      if (dir !== undefined) {
        channel.postMessage('begin');
        begin();
      }
      delays.reset();
      delays.enable();
      send({ begun: true });
      return;
    }
    if ('heap' in order) {
      send({ heapMiB: process.memoryUsage().heapUsed / 2 ** 20 });
      return;
    }
    delays.disable();
    const stall: Stall = { p99: late(delays.percentile(99)), max: late(delays.max) };
    const answer = () => send({ stall });
    if (dir === undefined) {
      answer();
      return;
    }
    channel.postMessage('end');
    end((text) => write(0, text));
    // Threads that only wait for the kernel do not hear it; the others have had time then.
    setTimeout(answer, 1000);
  });
} else if (!isMainThread) {
  // Workers load what is imported too.
  channel.onmessage = (message) => {
    const order = (message as { data: unknown }).data;
    if (order === 'begin') begin();
    if (order === 'end') end((text) => channel.postMessage({ thread: threadId, text }));
  };
}
