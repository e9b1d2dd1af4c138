/** Random changes of a directory tree, the same for the same seed. */
import { appendFileSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Numbers below 1, the same for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface RandomTree {
  /** One change: made, removed, written, renamed in the tree, out of it and into it. */
  step(): void;
  /** Absolute paths, the root among them. */
  directories(): string[];
}

/** @param outside another directory of the same filesystem */
export function randomTree(root: string, outside: string, seed: number): RandomTree {
  const next = random(seed);
  const pick = <T>(all: readonly T[]): T | undefined => all[Math.floor(next() * all.length)];

  const below = (dir: string, into: { dirs: string[]; files: string[] }) => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const path = join(dir, entry.name);
      if (!entry.isDirectory()) into.files.push(path);
      else {
        into.dirs.push(path);
        below(path, into);
      }
    }
    return into;
  };
  // Few names, so that the same ones come back.
  const name = () => `${pick(['a', 'b', 'c', 'd', 'e'])}${pick(['', '1', '2'])}`;
  const quiet = (work: () => void): void => {
    try {
      work();
    } catch {
      // A directory into itself, a file onto a directory: no change.
    }
  };

  return {
    step() {
      const { dirs, files } = below(root, { dirs: [root], files: [] });
      const where = join(pick(dirs)!, name());
      const dice = next();
      // Small enough to walk it at every step.
      if (dirs.length > 60 || files.length > 200) quiet(() => rmSync(pick(dirs.slice(1))!, { recursive: true }));
      else if (dice < 0.25) quiet(() => mkdirSync(join(where, name(), name()), { recursive: true }));
      else if (dice < 0.5) quiet(() => writeFileSync(where, String(next())));
      else if (dice < 0.6) quiet(() => appendFileSync(pick(files) ?? where, 'more'));
      else if (dice < 0.75) quiet(() => renameSync(pick(dirs.slice(1))!, where));
      else if (dice < 0.82) quiet(() => renameSync(pick(files)!, where));
      else if (dice < 0.88) quiet(() => renameSync(pick(dirs.slice(1))!, join(outside, name())));
      else if (dice < 0.94) quiet(() => renameSync(join(outside, pick(readdirSync(outside))!), where));
      else if (dice < 0.97) quiet(() => rmSync(pick(dirs.slice(1))!, { recursive: true }));
      else quiet(() => rmSync(pick(files)!));
    },
    directories() {
      return below(root, { dirs: [root], files: [] }).dirs.filter((dir) => statSync(dir).isDirectory());
    },
  };
}
