/** Which files of a bucket S3 clients see: its configuration of the kind `visibility`. Pure. */

/**
 * `live`: each file, from the moment it exists. `synced`: files that are published, by an upload or by a sync; so nobody
 * sees what a job has not finished yet.
 */
export type Visibility = 'live' | 'synced';

export const visibilityWords: readonly Visibility[] = ['live', 'synced'];

/** The form to store; undefined for `live`, the default. */
export const packVisibility = (visibility: Visibility): string | undefined =>
  visibility === 'live' ? undefined : visibility;

/** Whatever is not understood shows no more than what was published. */
export const unpackVisibility = (text: string | undefined): Visibility =>
  text === undefined || text === 'live' ? 'live' : 'synced';
