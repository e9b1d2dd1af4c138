/** What a piece of work will have changed in the catalog and told: drawn up first, and committed as a whole. */
import type { Catalog, Commit } from './catalog.js';
import { unlooked } from './scan.js';
import type { Entry, EventDraft, KeyBytes } from './types.js';

export interface Draft {
  objects: [KeyBytes, Entry | undefined][];
  events: EventDraft[];
  /** What is remembered once it is committed. */
  after: (() => void)[];
}

export const createDraft = (): Draft => ({ objects: [], events: [], after: [] });

/** @returns whether there was anything to commit @throws the errors of the catalog: then nothing has been remembered */
export function commitDrafts(catalog: Catalog, drafts: readonly Draft[], notes?: Commit['notes']): boolean {
  const objects = drafts.flatMap((draft) => draft.objects);
  const events = drafts.flatMap((draft) => draft.events);
  const changed = objects.length > 0 || events.length > 0 || notes !== undefined;
  if (changed) {
    // So that the going of a directory is noticed which nobody has looked at yet.
    const directories = objects
      .flatMap(([key, entry]) => (entry ? catalog.unknownAbove(key) : []))
      .map((dir) => [dir, unlooked] as const);
    catalog.commit({ objects, events, directories, ...(notes && { notes }) });
  }
  for (const { after } of drafts) for (const each of after) each();
  return changed;
}
