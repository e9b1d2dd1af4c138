/** Reads CPU profiles: where the time of the threads went while a load ran. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  timeDeltas: number[];
}

/** Where a thread waits; `dispatch` is the profiler's own. */
const waiting = /^(\(idle\)|waitReadable |dispatch$)/;

/** A thread is named after code that only such threads run. */
function kindOf(file: string, { nodes }: Profile): string {
  if (/^\d+-0-/.test(file)) return 'main thread';
  const runs = (part: string) => nodes.some(({ callFrame }) => callFrame.url.endsWith(part));
  return runs('/worker-loop.js') || runs('/worker.js') ? 'I/O workers' : 'other threads, mostly sync';
}

/** Milliseconds by the function in which a thread was itself. */
function addSelfTimes(profile: Profile, sums: Map<string, number>): void {
  const names = new Map(
    profile.nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || '(anonymous)'}${url ? ` ${basename(url)}:${lineNumber + 1}` : ''}`,
    ]),
  );
  for (const [index, id] of profile.samples.entries()) {
    const name = names.get(id)!;
    if (!waiting.test(name)) sums.set(name, (sums.get(name) ?? 0) + profile.timeDeltas[index]! / 1000);
  }
}

/** The profiles of each load (a directory) below `dir`, as text. */
export function summarize(dir: string, most = 25): string {
  const loads = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return loads
    .map(({ name: load }) => {
      const threads = new Map<string, Map<string, number>>();
      for (const file of readdirSync(join(dir, load)).filter((name) => name.endsWith('.cpuprofile'))) {
        const profile: Profile = JSON.parse(readFileSync(join(dir, load, file), 'utf8'));
        const kind = kindOf(file, profile);
        const sums = threads.get(kind) ?? new Map<string, number>();
        threads.set(kind, sums);
        addSelfTimes(profile, sums);
      }
      const parts = [...threads].map(([kind, sums]) => {
        const total = [...sums.values()].reduce((sum, ms) => sum + ms, 0);
        const lines = [...sums]
          .sort(([, a], [, b]) => b - a)
          .slice(0, most)
          .map(([name, ms]) => `${((100 * ms) / total).toFixed(1).padStart(6)} %  ${name}`);
        return `${kind}: busy ${total.toFixed(0)} ms\n${lines.join('\n')}`;
      });
      return `== ${load}\n${parts.sort().join('\n')}`;
    })
    .join('\n\n');
}

if (process.argv[1] === import.meta.filename) console.log(summarize(process.argv[2] ?? '.'));
