/** As whom the files of a bucket are worked on: its configuration of the kind `actAs`. Pure. */
import type { Actor } from '../gateway/storage/types.js';

/** `owner`: the bucket's owner, so that S3's permissions alone decide. `requester`: the caller, and the kernel decides too. */
export type ActAs = 'owner' | 'requester';

export const actAsWords: readonly ActAs[] = ['owner', 'requester'];

/** Who the anonymous are to the kernel: the overflow uid and gid, which own nothing. */
export const nobody: Actor = { uid: 65_534, gid: 65_534, groups: [65_534] };

/** The form to store; undefined for `owner`, the default. */
export const packActAs = (actAs: ActAs): string | undefined => (actAs === 'owner' ? undefined : actAs);

/** Whatever is not understood lets in no more than the caller's own rights. */
export const unpackActAs = (text: string | undefined): ActAs =>
  text === undefined || text === 'owner' ? 'owner' : 'requester';
