/** The listing as one would write it who has all the time in the world: what the real one is compared with. */
import type { ListRequest } from '../../gateway/storage/types.js';

/** `next` is there, undefined, when nothing follows. */
export function modelPage(
  keys: readonly string[],
  { prefix, delimiter, after, limit }: ListRequest,
): { objects: string[]; prefixes: string[]; next: string | undefined } {
  const inOrder = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
  const names = new Map<string, 'object' | 'prefix'>();
  for (const key of keys) {
    if (!key.startsWith(prefix)) continue;
    const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    if (at < 0) names.set(key, 'object');
    else names.set(key.slice(0, at + delimiter.length), 'prefix');
  }
  const all = [...names.keys()].sort(inOrder).filter((name) => after === '' || inOrder(name, after) > 0);
  const shown = all.slice(0, limit);
  return {
    objects: shown.filter((name) => names.get(name) === 'object'),
    prefixes: shown.filter((name) => names.get(name) === 'prefix'),
    next: limit > 0 && all.length > limit ? shown.at(-1) : undefined,
  };
}
