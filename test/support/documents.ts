/** Documents in memory: values go through JSON, as they do on disk, and every call settles later. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DocumentKind, Documents } from '../../gateway/storage/types.js';

export function memoryDocuments(): Documents {
  const stored = new Map<string, string>();
  const name = (kind: DocumentKind, id: string) => `${kind}/${id}`;
  return {
    async get<T>(kind: DocumentKind, id: string) {
      await nextTurn();
      const text = stored.get(name(kind, id));
      return text === undefined ? undefined : (JSON.parse(text) as T);
    },
    async create(kind, id, value) {
      await nextTurn();
      if (stored.has(name(kind, id))) return false;
      stored.set(name(kind, id), JSON.stringify(value));
      return true;
    },
    async update<T>(kind: DocumentKind, id: string, change: (current: T) => T | undefined) {
      await nextTurn();
      const text = stored.get(name(kind, id));
      if (text === undefined) return undefined;
      const next = change(JSON.parse(text) as T);
      if (next === undefined) stored.delete(name(kind, id));
      else stored.set(name(kind, id), JSON.stringify(next));
      return next;
    },
    async list<T>(kind: DocumentKind) {
      await nextTurn();
      return [...stored]
        .filter(([id]) => id.startsWith(`${kind}/`))
        .map(([id, text]) => ({ id: id.slice(kind.length + 1), value: JSON.parse(text) as T }))
        .sort((a, b) => Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)));
    },
  };
}
