/** How replies name an account. */
import type { Context } from './types.js';

export interface Owner {
  ID: string;
  DisplayName: string;
}

/** The owner of an object by its stored id; of the bucket when nothing is stored (a file that a job wrote). */
export async function ownerOf(context: Context, id: string | undefined): Promise<Owner> {
  const ID = id ?? context.place.bucket.owner;
  return { ID, DisplayName: await context.displayName(ID) };
}
