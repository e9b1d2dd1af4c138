/** Replies of work that may take long. */
import type { Reply, XmlValue } from './types.js';

/** Milliseconds: most copies and completions end within it, and then have a proper HTTP status. */
const grace = 5_000;

/**
 * A reply as soon as the work is done; when it takes longer, the 200 goes out at once with white space to keep the
 * connection, and a failure follows in the document: "a 200 OK response can contain either a success or an error"
 * (CopyObject, CompleteMultipartUpload). Many clients read only the status, so it is kept for the truth while it can be.
 */
export async function patiently(work: Promise<{ [root: string]: XmlValue }>, graceMs = grace): Promise<Reply> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, graceMs, undefined);
  });
  try {
    const xml = await Promise.race([work, late]);
    if (xml) return { body: { xml } };
  } finally {
    clearTimeout(timer);
  }
  // Whoever sends the reply waits for it; should the client be gone before, a failure must not end the process.
  work.catch(() => undefined);
  return { body: { slowXml: work } };
}
