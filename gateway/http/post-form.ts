/**
 * A browser's upload form: multipart/form-data with the fields first and the file last.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
 */
import type { Readable } from 'node:stream';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { S3Error } from '../errors.js';
import type { Body, Sink } from '../storage/types.js';

/** "the form data and boundaries (excluding the contents of the file) cannot exceed 20 KB". Bytes. */
const maxFields = 20 * 1024;
/** Whatever comes before the file, part headers and foreign parts included. */
const maxBeforeFile = 256 * 1024;
/**
 * Until the file begins nobody is known: a byte now and then must not hold a place among the requests for ever, as it may
 * in a signed upload. Milliseconds.
 */
const maxPatience = 60_000;

export interface PostForm {
  /** By lower-case name, in the order of the form, `${filename}` expanded. Without the file. */
  fields: Map<string, string>;
  /** The name that the browser gave, without directories; '' when none. */
  fileName: string;
  /** Content-Type of the file's part. */
  fileType: string;
  /** The file: of unknown length, resolves only when the form was complete and well-formed behind it. */
  file: Body;
}

/**
 * Reads the form up to the beginning of the file. Fields behind the file are ignored, as in S3.
 * Throws PreconditionFailed when it is no form, MalformedPOSTRequest, MaxPostPreDataLengthExceededError, and
 * InvalidArgument for a form without file or key, or with a field given twice, and RequestTimeout when the file has not
 * begun after `patience` milliseconds.
 */
export async function readPostForm(
  contentType: string | undefined,
  body: Body,
  patience = maxPatience,
): Promise<PostForm> {
  if (!/^multipart\/form-data\b/i.test(contentType ?? '')) {
    throw new S3Error('PreconditionFailed', {
      fields: { Condition: 'Bucket POST must be of the enclosure-type multipart/form-data' },
    });
  }
  const parser = createParser(contentType!);
  const fields = new Map<string, string>();
  let timer: NodeJS.Timeout | undefined;
  const begun = new Promise<PostForm>((resolve, reject) => {
    let fieldBytes = 0;
    let readBytes = 0;
    let file: Readable | undefined;
    let failure: unknown;
    const fail = (error: unknown) => {
      failure ??= error;
      reject(failure);
      // Lets the parser go on, so that the next piece finds out and the body is left alone.
      file?.resume();
    };
    timer = setTimeout(() => fail(new S3Error('RequestTimeout')), patience);
    parser.on('field', (name, value, _nameTruncated, truncated) => {
      if (file !== undefined || name === undefined) return;
      fieldBytes += Buffer.byteLength(name) + Buffer.byteLength(value);
      if (truncated || fieldBytes > maxFields) return fail(new S3Error('MaxPostPreDataLengthExceededError'));
      const lower = name.toLowerCase();
      // Two values for one name: the policy would be held against one, and the upload made with the other.
      if (fields.has(lower) && !lower.startsWith('x-ignore-')) {
        return fail(argument(name, `POST requires exactly one value for the field '${name}'`));
      }
      fields.set(lower, value);
    });
    const ended = new Promise<void>((settle) => {
      parser.on('finish', () => {
        if (file === undefined) fail(argument('file', 'POST requires exactly one file upload per request.', '0'));
        settle();
      });
      parser.on('error', (cause: unknown) => {
        fail(new S3Error('MalformedPOSTRequest', { cause }));
        settle();
      });
      parser.on('close', () => settle());
    });
    parser.on('file', (_name, stream, fileName, _encoding, mimeType) => {
      stream.on('error', ignore);
      if (file !== undefined || failure !== undefined) {
        stream.resume();
        return fail(argument('file', 'POST requires exactly one file upload per request.', '2'));
      }
      file = stream;
      const name = fileName ?? '';
      expandFileName(fields, name);
      if ((fields.get('key') ?? '') === '') {
        return fail(
          argument(
            'key',
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
          ),
        );
      }
      const read = async (sink: Sink) => {
        await deliver(stream, sink).catch(fail);
        await ended;
        if (failure !== undefined) throw failure;
      };
      resolve({ fields, fileName: name, fileType: mimeType, file: { length: undefined, read } });
    });
    body
      .read((piece) => {
        if (failure !== undefined) throw failure;
        readBytes += piece.length;
        if (file === undefined && readBytes > maxBeforeFile) throw new S3Error('MaxPostPreDataLengthExceededError');
        return write(parser, piece);
      })
      .then(
        () => parser.end(),
        (error: Error) => {
          fail(error);
          file?.destroy(error);
          parser.destroy(error);
        },
      );
  });
  return begun.finally(() => clearTimeout(timer));
}

function ignore(): void {}

function argument(name: string, message: string, value = ''): S3Error {
  return new S3Error('InvalidArgument', { message, fields: { ArgumentName: name, ArgumentValue: value } });
}

function createParser(contentType: string): BusboyInstance {
  try {
    return Busboy({
      headers: { 'content-type': contentType },
      // Some clients name a file for every field, so that is no sign of the file.
      isPartAFile: (name) => name?.toLowerCase() === 'file',
      limits: { fieldSize: maxFields + 1, fields: 1000, headerPairs: 50, headerSize: 16 * 1024 },
    });
  } catch (cause) {
    throw new S3Error('MalformedPOSTRequest', { cause });
  }
}

/** Settles when the parser wants more. */
function write(parser: BusboyInstance, piece: Uint8Array): void | Promise<void> {
  // The parser keeps slices beyond this call: bodies made of sockets do not use a piece again.
  if (parser.write(piece)) return undefined;
  return new Promise((resolve) => {
    const go = () => {
      parser.off('drain', go);
      parser.off('error', go);
      parser.off('close', go);
      parser.off('finish', go);
      resolve();
    };
    parser.on('drain', go).on('error', go).on('close', go).on('finish', go);
  });
}

const variable = /\$\{filename\}/g;

/** "the string ${filename} is automatically replaced with the name of the file […] and is recognized by all form fields". */
function expandFileName(fields: Map<string, string>, name: string): void {
  for (const [field, value] of fields) {
    if (field !== 'policy')
      fields.set(
        field,
        value.replace(variable, () => name),
      );
  }
}

/** The bytes of a part. Rejects with what the sink threw, MalformedPOSTRequest when the part breaks off. */
function deliver(stream: Readable, sink: Sink): Promise<void> {
  return new Promise((resolve, reject) => {
    const broken = (cause: unknown) => reject(new S3Error('MalformedPOSTRequest', { cause }));
    if (stream.errored) return broken(stream.errored);
    if (stream.destroyed) return resolve();
    const abandon = (error: unknown) => {
      stream.off('data', onData);
      reject(error);
    };
    const onData = (piece: Buffer) => {
      try {
        const taken = sink(piece);
        if (taken === undefined) return;
        stream.pause();
        taken.then(() => stream.resume(), abandon);
      } catch (error) {
        abandon(error);
      }
    };
    stream.on('error', broken);
    stream.on('close', resolve);
    stream.on('end', resolve);
    stream.on('data', onData);
  });
}

/**
 * The same payload, held to a number of bytes (both inclusive) while it passes: EntityTooLarge, EntityTooSmall.
 */
export function limitLength(body: Body, min: number, max: number): Body {
  return {
    length: body.length,
    read: async (sink) => {
      let size = 0;
      await body.read((piece) => {
        size += piece.length;
        if (size > max) {
          throw new S3Error('EntityTooLarge', { fields: { ProposedSize: String(size), MaxSizeAllowed: String(max) } });
        }
        return sink(piece);
      });
      if (size < min) {
        throw new S3Error('EntityTooSmall', { fields: { ProposedSize: String(size), MinSizeAllowed: String(min) } });
      }
    },
  };
}
