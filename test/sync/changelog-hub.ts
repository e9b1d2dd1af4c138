/** Readers of the changelog stand-in, for the tests. */
import { join } from 'node:path';
import { type Changelog, type ChangelogOptions, type ChangelogState, createChangelog } from '../../sync/changelog.js';
import { until } from '../support/time.js';
import { type Lustre, MDT0 } from './lustre.js';
import { type Mirror, mirror } from './mirror.js';

export interface Context {
  fs: Lustre;
  running: Changelog[];
  logged: string[];
  stop: (() => void)[];
}

/** A hub whose state is kept in `store`. */
export function hub(
  { fs, running, logged }: Context,
  store: { state?: ChangelogState },
  more: Partial<ChangelogOptions> = {},
) {
  const say = (fields: object, message: string): void => {
    logged.push(`${message}: ${String((fields as { err?: unknown }).err ?? '')}`);
  };
  const made = createChangelog({
    mount: fs.mount,
    users: { [MDT0]: 'cl1' },
    load: async () => store.state,
    save: async (state) => {
      store.state = state;
    },
    log: { info: say, warn: say },
    command: fs.command,
    pollMs: 20,
    retryMs: 20,
    timeoutMs: 20_000,
    ...more,
  });
  running.push(made);
  return made;
}

/** The mirror of a bucket that a hub has begun to serve. */
export const started = async (made: Changelog, fs: Lustre, bucket = 's3/b'): Promise<Mirror> => {
  const seen = mirror(join(fs.mount, bucket));
  await made.source(join(fs.mount, bucket)).start(seen);
  return seen;
};

export const converged = (seen: Mirror, ms = 30_000) =>
  until('all changes are known', ms, () => (seen.differences().length === 0 ? true : undefined)).catch((error) => {
    throw new Error(`${error.message}: ${seen.differences().slice(0, 10).join(' | ')}`);
  });
/** All records are settled. */
export const clearedAll = (fs: Lustre, mdt = MDT0) =>
  until('all is cleared', 30_000, () => (fs.cleared(mdt) === fs.last(mdt) ? true : undefined));
/** The hints that were given. */
export const shown = (seen: Mirror): string[] =>
  seen.hints.map(({ dir, name, deep }) => `${dir}|${name ?? '*'}${deep ? ' deep' : ''}`).sort();
