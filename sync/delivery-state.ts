/** How far the deliveries of a bucket's events are: a small file a configuration, replaced by rename. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deliveriesDirectory } from './places.js';

/** How far one configuration is: the file `deliveries/<hash of the id>.json`. */
export interface DeliveryState {
  id: string;
  webhook: string;
  /** Of the last event that was taken, or is none of this configuration's. */
  seq: number;
  /** Events taken so far. */
  delivered: number;
  /** ISO 8601. */
  lastDelivered?: string;
  /** While messages are refused. */
  failing?: { since: string; attempts: number; message: string };
}

/** An id may hold what a file name cannot. */
export const stateName = (id: string): string => createHash('sha256').update(id).digest('hex').slice(0, 32);
const statePath = (directory: string, id: string): string =>
  join(deliveriesDirectory(directory), `${stateName(id)}.json`);

export function saveState(directory: string, state: DeliveryState): void {
  const path = statePath(directory, state.id);
  mkdirSync(deliveriesDirectory(directory), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Undefined where there is none, or (a crash of the machine) none that can be read. */
export function loadState(directory: string, id: string): DeliveryState | undefined {
  try {
    const state = JSON.parse(readFileSync(statePath(directory, id), 'utf8')) as DeliveryState;
    return state.id === id && Number.isSafeInteger(state.seq) ? state : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const stateFiles = (directory: string): string[] => {
  try {
    return readdirSync(deliveriesDirectory(directory)).filter((name) => /^[0-9a-f]{32}\.json$/.test(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
};

/** A configuration that is taken away and put again begins anew. */
export function forgetStates(directory: string, ids: ReadonlySet<string>): void {
  const known = new Set([...ids].map((id) => `${stateName(id)}.json`));
  for (const name of stateFiles(directory)) {
    if (!known.has(name)) unlinkSync(join(deliveriesDirectory(directory), name));
  }
}

/** How far the deliveries of a bucket are, by id; for whoever asks, in any process. */
export function deliveryStates(directory: string): DeliveryState[] {
  const states = stateFiles(directory).flatMap((name) => {
    try {
      return [JSON.parse(readFileSync(join(deliveriesDirectory(directory), name), 'utf8')) as DeliveryState];
    } catch {
      // Just now removed, or being replaced on a filesystem that shows it.
      return [];
    }
  });
  return states.sort((a, b) => (a.id < b.id ? -1 : 1));
}
