/** The headers `x-amz-copy-source` and `x-amz-copy-source-range`. Pure. */
import { invalidArgument, S3Error } from '../errors.js';

export interface CopySource {
  bucket: string;
  key: string;
  /** As given; undefined when the current object is meant. */
  versionId: string | undefined;
}

/** `[/]bucket/key[?versionId=id]`, URL-encoded: a `?` of the key itself comes as `%3F`. @throws S3Error InvalidArgument */
export function parseCopySource(value: string): CopySource {
  const bad = (message: string) => invalidArgument('x-amz-copy-source', value, message);
  const [, path = '', version] = /^(.*?)(?:\?versionId=([^?]*))?$/s.exec(value) ?? [];
  let decoded: string;
  try {
    // A raw UTF-8 header arrives as latin1.
    decoded = decodeURIComponent(Buffer.from(path, 'latin1').toString('utf8'));
  } catch {
    throw bad('Copy Source must be URL-encoded UTF-8');
  }
  const text = decoded.startsWith('/') ? decoded.slice(1) : decoded;
  const slash = text.indexOf('/');
  if (text.startsWith('arn:')) throw new S3Error('NotImplemented', { message: 'Access points are not implemented' });
  if (slash <= 0 || slash === text.length - 1) {
    throw bad('Copy Source must mention the source bucket and key: sourcebucket/sourcekey');
  }
  return { bucket: text.slice(0, slash), key: text.slice(slash + 1), versionId: version };
}

/**
 * `x-amz-copy-source-range`. "The range value must use the form bytes=first-last"; both ends are needed, and unlike for a
 * GET the last byte must exist.
 * @throws S3Error InvalidArgument, InvalidRange
 */
export function parseCopyRange(value: string, size: number): { start: number; length: number } {
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(value.trim());
  if (!match || Number(match[1]) > Number(match[2])) {
    throw invalidArgument(
      'x-amz-copy-source-range',
      value,
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
    );
  }
  const start = Number(match[1]);
  const last = Number(match[2]);
  if (last >= size) {
    throw new S3Error('InvalidRange', {
      message: `Range specified is not valid for source object of size: ${size}`,
      fields: { RangeRequested: value, ActualObjectSize: String(size) },
    });
  }
  return { start, length: last - start + 1 };
}
