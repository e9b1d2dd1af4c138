/** What should be there: the keys of one lane of the random test, what stands under them, and what was done to them. */
import { createHash } from 'node:crypto';

/** A file. Two keys share one when it has a hard link. */
export interface Content {
  body: Buffer;
  /** ETags that may be shown of it: its MD5, and what a multipart upload was answered. */
  etags: Set<string>;
  /**
   * It has lost a name. Nobody is told of that under the others, and whether the engine knew of the one that went is chance: the
   * ETag may be a synthetic one until the next scan.
   */
  loose?: boolean;
  /** In a bucket that is `synced`: a job has put it there since the last sync. `perhaps`: it may have been uploaded since. */
  hidden?: boolean | 'perhaps';
}

export const md5 = (body: Uint8Array): string => createHash('md5').update(body).digest('hex');
export const contentOf = (body: Buffer, ...etags: string[]): Content => ({
  body,
  etags: new Set([md5(body), ...etags]),
});

/** A change through S3: acknowledged with a request id, or without an answer, so that it may have happened or not. */
export interface Asked {
  key: string;
  name: string;
  requestId: string | undefined;
}

export interface Model {
  keys: Map<string, Content>;
  /** Changes through the filesystem since the last quiet point, by key. */
  touched: Map<string, number>;
  asked: Asked[];
  /** A change of the file system's side to a key, and to all that share its file. */
  touch(key: string): void;
  set(key: string, content: Content): void;
  remove(key: string): void;
  /** In place: all names of the file. */
  rewrite(key: string, body: Buffer): void;
  below(dir: string): string[];
  /** What a job has put there. */
  written(body: Buffer): Content;
}

/** @param synced what jobs put there is seen after a sync only */
export function createModel(synced = false): Model {
  const keys = new Map<string, Content>();
  const touched = new Map<string, number>();
  /** The ETags that a content was uploaded with, by its MD5. */
  const uploaded = new Map<string, Set<string>>();
  const count = (key: string) => touched.set(key, (touched.get(key) ?? 0) + 1);
  const loosen = (key: string) => {
    const content = keys.get(key);
    if (content && [...keys].some(([name, each]) => each === content && name !== key)) content.loose = true;
  };
  const model: Model = {
    keys,
    touched,
    asked: [],
    touch(key) {
      const content = keys.get(key);
      if (!content) count(key);
      for (const [name, each] of keys) if (each === content) count(name);
    },
    set(key, content) {
      loosen(key);
      keys.set(key, content);
      uploaded.set(md5(content.body), content.etags);
    },
    remove(key) {
      loosen(key);
      keys.delete(key);
    },
    rewrite(key, body) {
      const content = keys.get(key)!;
      // The same bytes, whatever they were in between, are still the parts that were uploaded.
      if (!content.body.equals(body)) Object.assign(content, contentOf(body, ...(uploaded.get(md5(body)) ?? [])));
      content.loose = false;
      model.touch(key);
    },
    written: (body) => ({ ...contentOf(body), ...(synced && { hidden: true }) }),
    below: (dir) => [...keys.keys()].filter((key) => key.startsWith(dir)),
  };
  return model;
}

/** The same numbers for the same seed (mulberry32). */
export interface Dice {
  /** 0 … n − 1. */
  below(n: number): number;
  chance(p: number): boolean;
  of<T>(items: readonly T[]): T;
  body(): Buffer;
}

export function createDice(seed: number): Dice {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const dice: Dice = {
    below: (n) => Math.floor(next() * n),
    chance: (p) => next() < p,
    of: (items) => items[dice.below(items.length)]!,
    body() {
      // Some are longer than what is read or answered at once.
      const size = dice.chance(0.03) ? 70_000 + dice.below(200_000) : dice.below(120);
      const body = Buffer.alloc(size);
      for (let at = 0; at < size; at += 4) body.fill(dice.below(256), at, Math.min(size, at + 4));
      return body;
    },
  };
  return dice;
}
