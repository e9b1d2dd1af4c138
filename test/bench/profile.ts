/** Reads CPU profiles: where the time of each thread went. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  timeDeltas: number[];
}

/** The functions in which a thread was itself, by time. */
function selfTimes(profile: Profile): { name: string; ms: number }[] {
  const names = new Map(
    profile.nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || '(anonymous)'}${url ? ` ${basename(url)}:${lineNumber + 1}` : ''}`,
    ]),
  );
  const sums = new Map<string, number>();
  for (const [index, id] of profile.samples.entries()) {
    const name = names.get(id)!;
    sums.set(name, (sums.get(name) ?? 0) + profile.timeDeltas[index]! / 1000);
  }
  return [...sums].map(([name, ms]) => ({ name, ms })).sort((a, b) => b.ms - a.ms);
}

/** The profiles below a directory, busiest first, as text. */
export function summarize(dir: string, most = 25): string {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.cpuprofile'));
  const threads = files.map((file) => {
    const times = selfTimes(JSON.parse(readFileSync(join(dir, file), 'utf8')));
    const busy = times.filter(({ name }) => name !== '(idle)');
    return { file, busy, total: busy.reduce((sum, { ms }) => sum + ms, 0) };
  });
  return threads
    .sort((a, b) => b.total - a.total)
    .map(({ file, busy, total }) => {
      const lines = busy
        .slice(0, most)
        .map(({ name, ms }) => `${((100 * ms) / total).toFixed(1).padStart(6)} %  ${name}`);
      return `${file}: ${total.toFixed(0)} ms busy\n${lines.join('\n')}`;
    })
    .join('\n\n');
}

if (process.argv[1] === import.meta.filename) console.log(summarize(process.argv[2] ?? '.'));
