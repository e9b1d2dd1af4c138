/**
 * What a reconciler would know of a directory tree that looks only where hints tell it to. After the last hint it is the
 * tree itself, or something was lost.
 */
import { type BigIntStats, lstatSync, readdirSync } from 'node:fs';
import type { Hint, HintSink } from '../../sync/types.js';

export interface Mirror extends HintSink {
  hints: Hint[];
  losses: { dir: string; why: string }[];
  /** Path (latin1 of its bytes) to what stands there. */
  known: Map<string, string>;
  /** Paths where what is known differs from what is there. */
  differences(): string[];
  /** Forgets the hints, not the tree. */
  clear(): void;
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** @param root a path of ASCII */
export function mirror(root: string): Mirror {
  const known = new Map<string, string>();
  const at = (path: string): Buffer => bytes(`${root}/${path}`);

  const state = (path: string): string | undefined => {
    let stat: BigIntStats;
    try {
      stat = lstatSync(at(path), { bigint: true });
    } catch {
      return undefined;
    }
    if (stat.isDirectory()) return 'directory';
    return `${stat.isSymbolicLink() ? 'link' : 'file'} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.mode}`;
  };

  const names = (dir: string): string[] => {
    try {
      return readdirSync(at(dir), { encoding: 'latin1' }).filter((name) => name !== '.tidegate');
    } catch {
      return [];
    }
  };

  const lookAt = (into: Map<string, string>, path: string, deep: boolean): void => {
    const now = state(path);
    if (now === undefined || (deep && now !== 'directory')) {
      for (const key of into.keys()) if (key === path || key.startsWith(`${path}/`)) into.delete(key);
    }
    if (now === undefined) return;
    into.set(path, now);
    if (deep && now === 'directory') lookIn(into, `${path}/`, true);
  };

  const lookIn = (into: Map<string, string>, dir: string, deep: boolean): void => {
    const standing = new Set(names(dir));
    for (const key of [...into.keys()]) {
      if (!key.startsWith(dir)) continue;
      const name = key.slice(dir.length).split('/')[0]!;
      if (!standing.has(name)) into.delete(key);
    }
    for (const name of standing) lookAt(into, dir + name, deep);
  };

  const result: Mirror = {
    hints: [],
    losses: [],
    known,
    hint(hint) {
      result.hints.push(hint);
      if (hint.name === undefined) lookIn(known, hint.dir, hint.deep ?? false);
      else lookAt(known, hint.dir + hint.name, hint.deep ?? false);
      hint.settled?.();
    },
    lost(dir, why, settled) {
      result.losses.push({ dir, why });
      lookIn(known, dir, true);
      settled?.();
    },
    differences() {
      const real = new Map<string, string>();
      lookIn(real, '', true);
      const different = [...real].filter(([path, what]) => known.get(path) !== what).map(([path]) => path);
      return [...different, ...[...known.keys()].filter((path) => !real.has(path))].sort();
    },
    clear() {
      result.hints.length = 0;
      result.losses.length = 0;
    },
  };
  lookIn(known, '', true);
  return result;
}
