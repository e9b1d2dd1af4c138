/** Reads what a store writes down of a page, for tests. */
import * as assert from 'uvu/assert';
import type { ElementForm, ElementPage, ListPage, ListRequest, Place, Storage } from '../../gateway/storage/types.js';

/** With keys that can be read again whatever is in them. */
export const form: ElementForm = { name: 'Contents', extra: '', encoded: true, owner: true };

const textsIn = (bytes: Uint8Array, element: string): string[] =>
  [
    ...Buffer.from(bytes)
      .toString()
      .matchAll(new RegExp(`<${element}>([^<]*)</${element}>`, 'g')),
  ].map(([, text]) => decodeURIComponent(text!));

export const keysIn = ({ parts }: ElementPage): string[] => parts.flatMap(({ objects }) => textsIn(objects, 'Key'));
export const etagsIn = ({ parts }: ElementPage): string[] =>
  parts.flatMap(({ objects }) => textsIn(objects, 'ETag').map((text) => text.replaceAll('&quot;', '')));
export const prefixesIn = ({ parts }: ElementPage): string[] =>
  parts.flatMap(({ prefixes }) => textsIn(prefixes, 'Prefix'));

/** A page, which must be the same in XML. */
export async function listBoth(storage: Storage, at: Place, request: ListRequest): Promise<ListPage> {
  const page = await storage.list(at, request);
  const written = await storage.listElements(at, request, form);
  assert.equal(
    { keys: keysIn(written), etags: etagsIn(written), prefixes: prefixesIn(written), next: written.next },
    {
      keys: page.objects.map(({ key }) => key),
      etags: page.objects.map(({ etag }) => etag),
      prefixes: page.prefixes,
      next: page.next,
    },
  );
  written.done?.();
  return page;
}
