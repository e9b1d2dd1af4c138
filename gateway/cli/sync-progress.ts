/** How a sync that runs is shown: a bar that is redrawn on a terminal, now and then a line elsewhere. */
import type { SyncRun } from '../../sync/types.js';
import { size } from './figures.js';
import { printable } from './table.js';

/** Where it goes: standard error, so that standard output is the result alone. */
export interface Screen {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

export interface Progress {
  show(run: SyncRun): void;
  /** A line that stays. */
  note(text: string): void;
  /** Takes the bar away. */
  end(): void;
}

/** Milliseconds between two lines where there is no terminal. */
const LINE_MS = 5_000;
const BAR = 24;

/** What is known of a run, without the bar. */
export function progressText({ state, progress, counts }: SyncRun): string {
  if (state === 'queued') return 'waits for its turn';
  const { seen, expected } = progress;
  const entries = expected > seen ? `${seen} of about ${expected} entries` : `${seen} entries`;
  const { added, updated, deleted, renamed, unchanged, bytesHashed, errors } = counts;
  const found = Object.entries({ added, updated, deleted, renamed, ...(state !== 'running' && { unchanged }), errors })
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${count === 1 && name === 'errors' ? 'error' : name}`);
  return [...(state === 'running' ? [entries] : []), ...found, `${size(bytesHashed)} hashed`].join(', ');
}

/** `[########----------------]  33 %  …`; without a share where nothing is known of how much there is. */
export function progressBar(run: SyncRun, columns: number): string {
  const { seen, expected } = run.progress;
  const text = progressText(run);
  // What is there may be more than what was counted last; and after the last entry there is still something to hash.
  const share = run.state === 'running' && expected > 0 ? Math.min(0.99, seen / expected) : 0;
  const full = Math.floor(share * BAR);
  const percent = share > 0 ? `${String(Math.floor(share * 100)).padStart(3)} %` : '     ';
  return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}] ${percent}  ${text}`.slice(0, Math.max(1, columns - 1));
}

export function createProgress(bucket: string, screen: Screen, now: () => number = Date.now): Progress {
  let told = Number.NEGATIVE_INFINITY;
  let state = '';
  let drawn = '';
  const clear = () => {
    if (drawn !== '') screen.write('\r\u001b[K');
    drawn = '';
  };
  return {
    show(run) {
      if (screen.isTTY === true) {
        const bar = progressBar(run, screen.columns || 80);
        if (bar === drawn) return;
        screen.write(`\r${bar}\u001b[K`);
        drawn = bar;
        return;
      }
      if (run.state === state && now() - told < LINE_MS) return;
      [state, told] = [run.state, now()];
      screen.write(`sync of ${bucket}: ${progressText(run)}\n`);
    },
    note(text) {
      clear();
      screen.write(`${printable(text)}\n`);
    },
    end: clear,
  };
}
