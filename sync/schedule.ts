/** When a leader looks of its own accord: at everything, at directories whose times have changed, and for what is left over. */
export interface ScheduleDeps {
  /** Milliseconds between two looks at everything, and between two at the directories whose times have changed. */
  scanMs: number;
  quickScanMs: number;
  /** Begins a look at everything, or a quick one. @param done to be called at its end */
  scan(quick: boolean, done: () => void | Promise<void>): void;
  /** Writes down when everything was looked at last, ISO 8601. */
  tell(time: string): Promise<void>;
  /** Removes metadata of files that are gone: what is in use is known only when everything was looked at. */
  collect(): void;
  now?: () => number;
}

export interface Schedule {
  /** Begins what is due. */
  begin(): void;
  /** Everything was looked at, whoever wanted it. @throws when that cannot be written down; the next look comes all the same */
  scanned(): Promise<void>;
}

const DAY_MS = 86_400_000;

export function createSchedule(deps: ScheduleDeps): Schedule {
  const { scanMs, quickScanMs, scan, tell, collect, now = () => performance.now() } = deps;
  let nextCollection = 0;
  // The first look is begun by the leader itself.
  let nextScan = Number.POSITIVE_INFINITY;
  let nextQuickScan = now() + quickScanMs;

  async function scanned(): Promise<void> {
    nextScan = now() + scanMs;
    if (now() >= nextCollection) {
      nextCollection = now() + DAY_MS;
      collect();
    }
    await tell(new Date().toISOString());
  }

  return {
    scanned,
    begin() {
      if (now() >= nextScan) {
        nextScan = Number.POSITIVE_INFINITY;
        nextQuickScan = now() + quickScanMs;
        scan(false, scanned);
      } else if (now() >= nextQuickScan) {
        nextQuickScan = Number.POSITIVE_INFINITY;
        scan(true, () => {
          nextQuickScan = now() + quickScanMs;
        });
      }
    },
  };
}
