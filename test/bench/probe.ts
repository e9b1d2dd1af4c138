/**
 * Loaded into the gateway by `--import`, for the benchmark alone: answers "start" and "stop" on the IPC channel with how
 * late the main thread was.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** ms */
export interface Stall {
  p99: number;
  max: number;
}

const resolution = 1;

// Worker threads load what is imported too.
if (isMainThread && process.send) {
  const delays = monitorEventLoopDelay({ resolution });
  // What is recorded is the time from one timer to the next: what is above the resolution is the stall.
  const late = (ns: number) => Math.max(0, ns / 1e6 - resolution);
  process.on('message', (message) => {
    if (message === 'start') {
      delays.reset();
      delays.enable();
      process.send?.({ started: true });
    } else if (message === 'stop') {
      delays.disable();
      process.send?.({ stall: { p99: late(delays.percentile(99)), max: late(delays.max) } });
    }
  });
  process.channel?.unref();
}
