/** Which ETags the contents of a bucket get: its configuration of the kind `etag`. Pure. */

/**
 * `md5`: each content's MD5. `fast`: no digest is computed for the ETag's sake, neither of uploads (`s3/etag.ts`) nor of files
 * of jobs (`posix/stamp-ops.ts`); it has a `-` in it then, so that nobody takes it for an MD5.
 */
export type EtagPolicy = 'md5' | 'fast';

export const etagPolicyWords: readonly EtagPolicy[] = ['md5', 'fast'];

/** The form to store; undefined for `md5`, the default. */
export const packEtagPolicy = (policy: EtagPolicy): string | undefined => (policy === 'md5' ? undefined : policy);

/** Whatever is not understood takes the digest that every client understands. */
export const unpackEtagPolicy = (text: string | undefined): EtagPolicy => (text === 'fast' ? 'fast' : 'md5');
