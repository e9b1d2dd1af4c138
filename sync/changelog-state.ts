/** Where it is kept how far the changelogs were read: a document of the root (kind `changelogs`), one for each set of users. */
import { randomUUID } from 'node:crypto';
import type { Documents } from '../gateway/storage/types.js';
import type { ChangelogOptions, ChangelogState } from './changelog.js';

interface Kept extends ChangelogState {
  /** Who reads: another one for each start. */
  reader: string;
}

/**
 * What one user has cleared Lustre forgets. So of two gateways that were given the same users the one would miss what the
 * other has read: who begins later is the reader, and the other can save nothing, and so clear nothing, any more.
 *
 * @param users changelog users by MDT
 * `save` throws an Error when another gateway has begun to read.
 */
export function changelogState(
  documents: Pick<Documents, 'get' | 'update' | 'create'>,
  users: Readonly<Record<string, string>>,
): Pick<ChangelogOptions, 'load' | 'save'> {
  const names = Object.entries(users).sort(([a], [b]) => (a < b ? -1 : 1));
  const id = names
    .map((pair) => pair.join('_'))
    .join('.')
    .slice(0, 240);
  const reader = randomUUID();
  return {
    async load() {
      const kept = await documents.update<Kept>('changelogs', id, (now) => ({ ...now, reader }));
      // A copy: it is the reader's to work on.
      return kept && structuredClone({ mdts: kept.mdts, buckets: kept.buckets });
    },
    async save(state) {
      let mine = true;
      const kept = await documents.update<Kept>('changelogs', id, (now) => {
        mine = now.reader === reader;
        return mine ? { ...state, reader } : now;
      });
      if (kept && mine) return;
      if (!kept && (await documents.create('changelogs', id, { ...state, reader }))) return;
      const shown = names.map((pair) => pair.join(':')).join(', ');
      throw new Error(`another gateway reads the changelog as ${shown}: each needs users of its own`);
    },
  };
}
