/** The leader's side of usage: tells how much is in the bucket, and writes the sample of each hour. */
import type { Bucket, Documents } from '../gateway/storage/types.js';
import type { Catalog } from './catalog.js';
import { changeState } from './runs.js';
import { hourOf, type SampleWriter } from './samples.js';

export interface CounterDeps {
  documents: Documents;
  bucket: Bucket;
  catalog: Catalog;
  samples: SampleWriter;
  /** Whose the bucket is, and to which group that is charged now. */
  charged(): { account: string; group: string };
  /** Whether the bucket was looked at as a whole: half a count is none. */
  complete(): boolean;
  /** A sample could not be written; it is tried again. */
  failed(error: unknown): void;
  now?: () => number;
}

export interface Counter {
  /** Writes down what has changed, and once an hour in any case. */
  tell(): Promise<void>;
}

/** After a sample could not be written. */
const AGAIN_MS = 60_000;

export function createCounter(deps: CounterDeps): Counter {
  const { documents, bucket, catalog, samples, charged, complete, failed, now = Date.now } = deps;
  let told = '';
  let sampled = -1;
  let notBefore = 0;

  function sample(time: number): void {
    const hour = hourOf(time);
    if (hour === sampled || time < notBefore || !complete()) return;
    try {
      samples.write({ hour, ...catalog.totals(), ...charged() });
      sampled = hour;
    } catch (error) {
      // The bucket is synced all the same.
      notBefore = time + AGAIN_MS;
      failed(error);
    }
  }

  return {
    async tell() {
      const time = now();
      sample(time);
      const totals = catalog.totals();
      const text = JSON.stringify([totals, hourOf(time)]);
      if (text === told) return;
      const at = new Date(time).toISOString();
      await changeState(documents, bucket, (state) => ({ ...state, totals: { ...totals, at } }));
      told = text;
    },
  };
}
