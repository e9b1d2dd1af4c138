/**
 * The reconciler's findings whose content has to be digested: each key once at a time, and files that are being written
 * again and again until they have come to rest.
 */
import type { Fingerprint } from '../acl/metadata/stamp.js';
import { fromBytes } from '../gateway/storage/keys.js';
import { createDelayed } from './delayed.js';
import type { StampResult } from './hash.js';
import { type Held, type SeenFile, takeRiders } from './held.js';
import type { Former } from './renames.js';
import type { KeyBytes } from './types.js';

export type Digested = Exclude<StampResult, { outcome: 'busy' }>;

export interface DigestsDeps {
  stamp(key: string, seen: SeenFile, trusted?: { etag: string }): Promise<StampResult>;
  former(file: Fingerprint): Former | undefined;
  lookAgain(key: KeyBytes): void;
  digested(item: Held, result: Digested): void;
  /** Looks at once more. */
  work(items: readonly Held[]): void;
}

export interface Digests {
  /** @param item with `seen` */
  start(item: Held): void;
  /** Findings of files that were being written, to be looked at again. */
  due(): Held[];
  /** Milliseconds until one is due, Infinity when none waits. */
  wait(): number;
  /** Findings that are being digested. */
  readonly busy: number;
  stop(): void;
}

/** A file that is being written is tried less and less often, down to this; a hint tries it at once. */
const LEAST_OFTEN_MS = 10_000;
/** So many files that are being written keep nobody from other work. */
const MOST_WRITTEN = 50_000;

export function createDigests({ stamp, former, lookAgain, digested, work }: DigestsDeps): Digests {
  let stopped = false;
  /** Keys whose content is being digested, with other findings of them that came meanwhile. */
  const stamping = new Map<KeyBytes, Held[]>();
  /** Findings of files that are being written, and which of them still counts for its key. */
  const written = createDelayed<Held>();
  const writing = new Map<KeyBytes, Held>();

  function start(item: Held): void {
    const { finding, seen: stat } = item;
    const { key } = finding;
    if (!stat) return;
    const others = stamping.get(key);
    if (others) {
      for (const each of [...takeRiders(item), item]) join(others, each);
      return;
    }
    const riders = takeRiders(item);
    const waiting = writing.get(key);
    writing.delete(key);
    if (waiting) for (const each of [...takeRiders(waiting), waiting]) join(riders, each);
    stamping.set(key, riders);
    const name = former(stat);
    const trusted = name && name.etag !== '' ? { etag: name.etag } : undefined;
    void stamp(fromBytes(key), stat, trusted)
      .catch((error: unknown): StampResult => ({ outcome: 'failed', reason: String(error) }))
      .then((result) => {
        stamping.delete(key);
        if (stopped) return;
        if (result.outcome === 'busy') {
          putOff([item, ...riders], result.retryMs);
          return;
        }
        digested(item, result);
        // What they have seen may be later than what was digested.
        work(riders);
      });
  }

  /** Nobody would hear of a further look at what is looked at anyway. */
  function join(riders: Held[], item: Held): void {
    if (item.cause.awaited || !riders.some(({ cause }) => !cause.awaited)) riders.push(item);
    else item.cause.open--;
  }

  function putOff(items: readonly Held[], retryMs: number): void {
    const now = performance.now();
    const [first, ...riders] = items.filter(({ cause }) => now < cause.patience);
    for (const { finding, cause } of items.filter(({ cause }) => now >= cause.patience)) {
      cause.counts.unsettled++;
      cause.open--;
      lookAgain(finding.key);
    }
    if (!first) return;
    first.riders = riders;
    writing.set(first.finding.key, first);
    written.put([first], Math.max(retryMs, Math.min((now - first.since) / 8, LEAST_OFTEN_MS)));
  }

  return {
    start,
    due() {
      // What a later finding of the same file has taken along is here no more.
      const tried = written.due().filter((item) => writing.get(item.finding.key) === item);
      for (const { finding } of tried) writing.delete(finding.key);
      return tried;
    },
    wait: written.wait,
    get busy() {
      return stamping.size + Math.max(0, written.size - MOST_WRITTEN);
    },
    stop() {
      stopped = true;
    },
  };
}
