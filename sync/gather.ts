/**
 * Hints, gathered per directory until they are given: what is told many times is given once, and where too much is told
 * it becomes coarser (the whole directory, then everything) instead of longer. Pure.
 */

/** As `Hint`, with the source's own word for a directory. */
export interface Gathered<D> {
  dir: D;
  name?: string;
  deep?: boolean;
}

export interface Gathering<D> {
  /** @param name undefined for the whole directory */
  add(dir: D, name: string | undefined, deep?: boolean): void;
  /** Entry `name` of the directory is not to be looked at any more, unless something else wants it deep. */
  forget(dir: D, name: string): void;
  readonly empty: boolean;
  /** What was gathered, and begins anew. `everything`: it was too much, nothing but "all has to be looked at" is left. */
  take(): Gathered<D>[] | 'everything';
}

export interface GatherLimits {
  /** Names of one directory; more become the directory. */
  perDirectory: number;
  /** Names in all; more become their directories. */
  names: number;
  directories: number;
}

/**
 * A name costs a call or two, and a directory as a whole as much for each entry that it has: of one with a million entries
 * that jobs write a thousand a second in, only the names may be told.
 */
export const usualLimits: GatherLimits = { perDirectory: 20_000, names: 50_000, directories: 10_000 };

interface Told {
  /** The directory itself: not told of, all its entries, or with everything below. */
  whole: 'no' | 'entries' | 'deep';
  /** Names of entries, and whether with everything below. */
  names: Map<string, boolean>;
}

/** An empty gathering. A directory `D` is compared as a `Map` compares. */
export function gathering<D>(limits: GatherLimits = usualLimits): Gathering<D> {
  let dirs = new Map<D, Told>();
  let names = 0;
  let everything = false;

  const clear = (told: Told): void => {
    names -= told.names.size;
    told.names.clear();
  };

  /** Only names that are wanted with everything below are left beside the whole directory. */
  const coarsen = (told: Told): void => {
    if (told.whole === 'no') told.whole = 'entries';
    for (const [name, deep] of told.names) {
      if (deep) continue;
      told.names.delete(name);
      names--;
    }
    if (told.names.size <= limits.perDirectory) return;
    told.whole = 'deep';
    clear(told);
  };

  const giveUp = (): void => {
    dirs = new Map();
    names = 0;
    everything = true;
  };

  return {
    add(dir, name, deep = false) {
      if (everything) return;
      let told = dirs.get(dir);
      if (!told) {
        if (dirs.size >= limits.directories) return giveUp();
        dirs.set(dir, (told = { whole: 'no', names: new Map() }));
      }
      if (told.whole === 'deep') return;
      if (name === undefined) {
        if (deep) {
          told.whole = 'deep';
          clear(told);
        } else coarsen(told);
        return;
      }
      if (told.whole === 'entries' && !deep) return;
      const before = told.names.get(name);
      if (before === undefined) names++;
      told.names.set(name, before === true || deep);
      if (told.names.size > limits.perDirectory) coarsen(told);
      if (names <= limits.names) return;
      for (const each of dirs.values()) coarsen(each);
      if (names > limits.names) giveUp();
    },
    forget(dir, name) {
      const told = dirs.get(dir);
      if (told?.names.get(name) !== false) return;
      told.names.delete(name);
      names--;
      if (told.names.size === 0 && told.whole === 'no') dirs.delete(dir);
    },
    get empty() {
      return dirs.size === 0 && !everything;
    },
    take() {
      if (everything) {
        everything = false;
        return 'everything';
      }
      const all: Gathered<D>[] = [];
      for (const [dir, told] of dirs) {
        if (told.whole !== 'no') all.push(told.whole === 'deep' ? { dir, deep: true } : { dir });
        for (const [name, deep] of told.names) all.push(deep ? { dir, name, deep } : { dir, name });
      }
      dirs = new Map();
      names = 0;
      return all;
    },
  };
}
