/** The hints of the thread of `watch.ts` on their way to its owner: gathered, and given when they are due. */
import { type Gathering, gathering } from './gather.js';
import type { SentHint, WatchNews, WatchThreadData } from './watch-messages.js';
import { pathOf, type WatchNode, type WatchRoot } from './watch-tree.js';

/** Batches under way to the owner; then hints are gathered, and become coarser. */
const MOST_UNTAKEN = 4;
const BATCH = 1_000;

export interface HintSenderOptions extends Pick<WatchThreadData, 'taken' | 'debounceMs' | 'modifyMs'> {
  send(news: WatchNews): void;
  /** Those that are watched, by their ids. */
  roots: ReadonlyMap<number, WatchRoot>;
}

export interface HintSender {
  /** An entry of a directory is to be looked at. @param deep with all below it */
  tell(node: WatchNode, name: string, deep?: boolean): void;
  /** The same, of what is written to an open file: that tells nothing which its close would not, except where it stays open. */
  tellLater(node: WatchNode, name: string): void;
  /** Of `performance.now()`, when the next hints are due; Infinity: there are none. */
  due(): number;
  /** Gives what is due, unless the owner is behind. */
  giveDue(now: number): void;
}

export function createHintSender({ send, taken, debounceMs, modifyMs, roots }: HintSenderOptions): HintSender {
  const takenBatches = new Int32Array(taken);
  let sentBatches = 0;
  const soon: Gathering<WatchNode> = gathering();
  const later: Gathering<WatchNode> = gathering();
  let soonAt = Number.POSITIVE_INFINITY;
  let laterAt = Number.POSITIVE_INFINITY;

  const give = (from: Gathering<WatchNode>): void => {
    const all = from.take();
    if (all === 'everything') {
      const why = 'more has changed than can be told one by one';
      for (const { id } of roots.values()) send({ lost: id, dir: '', why });
      return;
    }
    let hints: SentHint[] = [];
    const post = (): void => {
      if (hints.length === 0) return;
      send({ hints });
      sentBatches++;
      hints = [];
    };
    for (const { dir: node, name, deep } of all) {
      const dir = pathOf(node);
      // What has left the tree was told of in its old place, and is in its new one.
      if (dir === undefined || !roots.has(node.root.id)) continue;
      hints.push([node.root.id, dir, name, deep]);
      if (hints.length === BATCH) post();
    }
    post();
  };

  return {
    tell(node, name, deep = false) {
      if (soonAt === Number.POSITIVE_INFINITY) soonAt = performance.now() + debounceMs;
      later.forget(node, name);
      soon.add(node, name, deep);
    },
    tellLater(node, name) {
      if (laterAt === Number.POSITIVE_INFINITY) laterAt = performance.now() + modifyMs;
      later.add(node, name);
    },
    due: () => Math.min(soonAt, laterAt),
    giveDue(now) {
      if (sentBatches - Atomics.load(takenBatches, 0) >= MOST_UNTAKEN) return;
      if (soonAt <= now) {
        soonAt = Number.POSITIVE_INFINITY;
        give(soon);
      }
      if (laterAt <= now) {
        laterAt = Number.POSITIVE_INFINITY;
        give(later);
      }
    },
  };
}
