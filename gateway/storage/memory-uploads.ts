/** Multipart uploads of the store in memory. */
import { S3Error } from '../errors.js';
import { uploadPage } from './listing.js';
import type { NewUpload, Part, Upload, UploadListRequest, UploadPage } from './types.js';

interface Running {
  upload: Upload;
  parts: Map<number, { part: Part; bytes: Buffer }>;
}

export interface MemoryUploads {
  create(key: string, upload: NewUpload): Upload;
  get(key: string, id: string): Upload;
  putPart(key: string, id: string, part: Part, bytes: Buffer): Part;
  listParts(key: string, id: string, after: number, limit: number): { parts: Part[]; more: boolean };
  list(request: UploadListRequest): UploadPage;
  /** The bytes of the parts, joined in the order given: InvalidPart when one is not there any more. */
  join(key: string, id: string, parts: readonly Part[]): Buffer;
  remove(key: string, id: string): void;
}

/** The unfinished uploads of one bucket. */
export function createMemoryUploads(): MemoryUploads {
  const uploads = new Map<string, Running>();
  let serial = 0;

  const find = (key: string, id: string): Running => {
    const running = uploads.get(id);
    if (running?.upload.key !== key) throw new S3Error('NoSuchUpload');
    return running;
  };

  return {
    create(key, upload) {
      // Ids sort by age: ListMultipartUploads shows the uploads of one key in the order in which they were begun.
      const id = `${Date.now().toString(16).padStart(12, '0')}${(serial++).toString(16).padStart(8, '0')}`;
      const made: Upload = { ...structuredClone(upload), key, id, initiated: Date.now() };
      uploads.set(id, { upload: made, parts: new Map() });
      return structuredClone(made);
    },
    get: (key, id) => structuredClone(find(key, id).upload),
    putPart(key, id, part, bytes) {
      find(key, id).parts.set(part.number, { part: structuredClone(part), bytes });
      return part;
    },
    listParts(key, id, after, limit) {
      const parts = [...find(key, id).parts.values()]
        .map(({ part }) => part)
        .filter(({ number }) => number > after)
        .sort((a, b) => a.number - b.number);
      return { parts: structuredClone(parts.slice(0, limit)), more: limit > 0 && parts.length > limit };
    },
    list: (request) =>
      structuredClone(
        uploadPage(
          [...uploads.values()].map(({ upload }) => upload),
          request,
        ),
      ),
    join(key, id, parts) {
      const running = find(key, id);
      return Buffer.concat(
        parts.map(({ number, etag }) => {
          const found = running.parts.get(number);
          // Sent again since the caller looked.
          if (found?.part.etag !== etag) throw new S3Error('InvalidPart');
          return found.bytes;
        }),
      );
    },
    remove(key, id) {
      find(key, id);
      uploads.delete(id);
    },
  };
}
