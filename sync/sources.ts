/** The sources of change of one bucket, for as long as it is led. */
import type { HintSink, Source } from './types.js';

export interface SourcesDeps {
  sources: readonly Source[];
  sink: HintSink;
  /** One could not be started: until it can, only scans find what it would tell. */
  failed(error: unknown): void;
  /** Milliseconds until that is tried again. */
  againMs?: number;
}

export interface Sources {
  /** Resolves when each is started, or has failed to. */
  start(): Promise<void>;
  /** Also while they start: to watch a large tree takes a while, and nobody has to wait for that. */
  stop(): Promise<void>;
}

export function createSources({ sources, sink, failed, againMs = 60_000 }: SourcesDeps): Sources {
  const begun = new Set<Source>();
  const timers = new Set<NodeJS.Timeout>();
  let stopped = false;

  async function begin(source: Source, again: boolean): Promise<void> {
    begun.add(source);
    try {
      await source.start(sink);
      if (stopped) await source.stop();
      else if (again) sink.lost('', 'it could not be watched before');
    } catch (error) {
      begun.delete(source);
      if (stopped) return;
      if (!again) failed(error);
      const timer = setTimeout(() => {
        timers.delete(timer);
        void begin(source, true);
      }, againMs);
      timers.add(timer);
    }
  }

  return {
    async start() {
      await Promise.all(sources.map((source) => begin(source, false)));
    },
    async stop() {
      stopped = true;
      for (const timer of timers) clearTimeout(timer);
      await Promise.allSettled([...begun].map(async (source) => source.stop()));
    },
  };
}
