/** Reading the JSON of a policy, and the one way in which a policy is refused. */
import { S3Error } from '../../gateway/errors.js';

/** "Bucket policies are limited to 20 KB in size." */
export const MAX_POLICY_BYTES = 20 * 1024;
/** A whole statement with a list in a condition is 6 deep. */
const MAX_DEPTH = 8;

export const malformed = (message: string, cause?: unknown): S3Error =>
  new S3Error('MalformedPolicy', { message, cause });

/** A value of the document in a message: short, and told apart from the sentence. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

/** @throws S3Error MalformedPolicy for anything but one JSON object of bounded size, depth and with distinct names */
export function readDocument(text: string): object {
  if (Buffer.byteLength(text) > MAX_POLICY_BYTES) {
    throw malformed(`The policy is larger than ${MAX_POLICY_BYTES} bytes`);
  }
  if (!text.startsWith('{')) throw new S3Error('MalformedPolicy');
  const value = parsed(text) as object;
  checkShape(text);
  return value;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new S3Error('MalformedPolicy', { cause: error });
  }
}

/**
 * Of a name that occurs twice in an object, `JSON.parse` silently keeps the last: a condition would be lost, and the
 * policy would allow more than it says. The text is known to be JSON.
 */
function checkShape(text: string): void {
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/gs;
  const open: Set<string>[] = [];
  for (let found = token.exec(text); found; found = token.exec(text)) {
    const [piece, colon] = found;
    if (piece === '{' || piece === '[') {
      if (open.push(new Set()) > MAX_DEPTH) throw malformed('The policy is nested too deeply');
    } else if (piece === '}' || piece === ']') {
      open.pop();
    } else if (colon !== undefined) {
      const name = parsed(piece.slice(0, -colon.length)) as string;
      if (open.at(-1)?.has(name)) throw malformed(`The element ${quote(name)} occurs twice in one object`);
      open.at(-1)?.add(name);
    }
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A string, or a list of strings with at least one in it. */
export function strings(element: string, value: unknown): string[] {
  const list = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw malformed(`Missing required field ${element} cannot be empty!`);
  for (const each of list) {
    if (typeof each !== 'string') throw malformed(`${element} must be a string or a list of strings: ${quote(each)}`);
  }
  return list;
}
