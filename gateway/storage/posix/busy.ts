/** Calls that a worker may still be at although their caller was refused (a mount that hangs), and what waits for their end. */
export interface Busy {
  /** For `RunOptions.ended` of one more call. */
  begin(): () => void;
  /** Runs at once, or when the last of the calls has really ended. */
  after(work: () => void): void;
}

export const createBusy = (): Busy => {
  let calls = 0;
  let waiting: (() => void)[] = [];
  const ended = (): void => {
    if (--calls > 0) return;
    const all = waiting;
    waiting = [];
    for (const work of all) work();
  };
  return {
    begin: () => {
      calls++;
      return ended;
    },
    after: (work) => {
      if (calls === 0) work();
      else waiting.push(work);
    },
  };
};
