import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import { readAll } from '../../gateway/http/body.js';
import { limitLength, readPostForm } from '../../gateway/http/post-form.js';
import type { Body } from '../../gateway/storage/types.js';

/** The variable, put together so that it is not taken for a template's. */
const fileName = ['$', '{filename}'].join('');
const boundary = '----tide';
const type = `multipart/form-data; boundary=${boundary}`;

/** `[name, value]`, or with a third element the file name. */
type Field = [string, string | Buffer] | [string, string | Buffer, string];

function encode(fields: Field[], end = `--${boundary}--\r\n`): Buffer {
  const parts = fields.flatMap(([name, value, file]) => [
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file === undefined ? '' : `; filename="${file}"`}\r\n` +
        `${name === 'file' ? 'Content-Type: text/x-tide\r\n' : ''}\r\n`,
    ),
    Buffer.from(value),
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...parts, Buffer.from(end)]);
}

function bodyOf(bytes: Buffer, size = 1000, failure?: S3Error): Body & { taken: () => number } {
  let at = 0;
  return {
    length: bytes.length,
    taken: () => at,
    read: async (sink) => {
      while (at < bytes.length) {
        const piece = bytes.subarray(at, at + size);
        at += piece.length;
        await sink(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (failure !== undefined) throw failure;
    },
  };
}

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
  return 'accepted';
}

const read = async (fields: Field[], size?: number) => {
  const form = await readPostForm(type, bodyOf(encode(fields), size));
  return { ...form, content: (await readAll(form.file, 1 << 24)).toString() };
};

const t = suite('post form');

t('fields, then the file', async () => {
  for (const size of [1, 7, 1000]) {
    const form = await read(
      [
        ['Key', `a/${fileName}`],
        ['x-amz-meta-a', '日本'],
        ['file', 'content\r\n--', 'C:\\dir\\名.txt'],
        ['late', 'x'],
      ],
      size,
    );
    assert.equal(
      [...form.fields],
      [
        ['key', 'a/名.txt'],
        ['x-amz-meta-a', '日本'],
      ],
    );
    assert.is(form.fileName, '名.txt');
    assert.is(form.fileType, 'text/x-tide');
    assert.is(form.content, 'content\r\n--');
  }
});

t('every field may have a file name, as some clients send it', async () => {
  const form = await read([
    ['key', 'k', 'key'],
    ['acl', 'private', 'acl'],
    ['file', '', 'file'],
  ]);
  assert.equal(
    [...form.fields],
    [
      ['key', 'k'],
      ['acl', 'private'],
    ],
  );
  assert.is(form.content, '');
});

t('the name of the file in a policy stays as it was signed', async () => {
  const form = await read([
    ['key', 'k$&'],
    ['policy', fileName],
    ['acl', fileName],
    ['file', '', '$&.txt'],
  ]);
  assert.is(form.fields.get('policy'), fileName);
  assert.is(form.fields.get('acl'), '$&.txt');
});

t('a large file is handed on at the pace of the sink', async () => {
  const content = Buffer.alloc(3_000_000, 'abcdefg');
  const body = bodyOf(
    encode([
      ['key', 'k'],
      ['file', content, 'f'],
    ]),
    65536,
  );
  const form = await readPostForm(type, body);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.ok(body.taken() < 1_000_000, 'nothing is read ahead without bound');
  const out: Buffer[] = [];
  await form.file.read(async (piece) => {
    await new Promise((resolve) => setImmediate(resolve));
    out.push(Buffer.from(piece));
  });
  assert.ok(Buffer.concat(out).equals(content));
});

t('what is wrong with a form', async () => {
  const attempt = (fields: Field[], contentType = type) => code(readPostForm(contentType, bodyOf(encode(fields))));
  assert.is(
    await attempt(
      [
        ['key', 'k'],
        ['file', 'x', 'f'],
      ],
      'text/plain',
    ),
    'PreconditionFailed',
  );
  assert.is(
    await attempt(
      [
        ['key', 'k'],
        ['file', 'x', 'f'],
      ],
      'multipart/form-data',
    ),
    'MalformedPOSTRequest',
  );
  assert.is(await attempt([['file', 'x', 'f']]), 'InvalidArgument', 'no key');
  assert.is(
    await attempt([
      ['key', ''],
      ['file', 'x', 'f'],
    ]),
    'InvalidArgument',
    'an empty key',
  );
  assert.is(await attempt([['key', 'k']]), 'InvalidArgument', 'no file');
  assert.is(
    await attempt([
      ['key', 'k'],
      ['KEY', 'j'],
      ['file', 'x', 'f'],
    ]),
    'InvalidArgument',
    'two keys',
  );
  assert.is(
    await attempt([
      ['key', 'k'.repeat(21000)],
      ['file', 'x', 'f'],
    ]),
    'MaxPostPreDataLengthExceededError',
  );
  const many: Field[] = Array.from({ length: 40 }, (_, i) => [`x-ignore-${i}`, 'y'.repeat(1000)]);
  assert.is(await attempt([...many, ['key', 'k'], ['file', 'x', 'f']]), 'MaxPostPreDataLengthExceededError');
  assert.is(await code(readPostForm(type, bodyOf(Buffer.alloc(1_000_000, 'x')))), 'MaxPostPreDataLengthExceededError');
  assert.is(await code(readPostForm(type, bodyOf(Buffer.alloc(0)))), 'MalformedPOSTRequest');
});

t('a form that breaks off is no upload', async () => {
  const whole = encode([
    ['key', 'k'],
    ['file', 'y'.repeat(5000), 'f'],
  ]);
  for (const length of [whole.length - 4, whole.length - 20, whole.length - 3000]) {
    const form = await readPostForm(type, bodyOf(whole.subarray(0, length)));
    assert.is(await code(form.file.read(() => {})), 'MalformedPOSTRequest', `${length} of ${whole.length}`);
  }
  const broken = await readPostForm(type, bodyOf(whole.subarray(0, 3000), 1000, new S3Error('IncompleteBody')));
  assert.is(await code(broken.file.read(() => {})), 'IncompleteBody');
});

t('fields that do not come to an end', async () => {
  const fields = encode([
    ['key', 'k'],
    ['x-ignore-this', 'y'.repeat(500)],
    ['file', 'content', 'f'],
  ]);
  const trickle: Body = {
    length: fields.length,
    read: async (sink) => {
      for (const byte of fields) {
        await sink(Buffer.of(byte));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
  };
  assert.is(await code(readPostForm(type, trickle, 100)), 'RequestTimeout');
  // The file may take its time.
  const form = await readPostForm(type, bodyOf(fields), 50);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.is((await readAll(form.file, 100)).toString(), 'content');
});

t('two files are refused', async () => {
  const form = await readPostForm(
    type,
    bodyOf(
      encode([
        ['key', 'k'],
        ['file', 'a', 'f'],
        ['file', 'b', 'g'],
      ]),
    ),
  );
  assert.is(await code(form.file.read(() => {})), 'InvalidArgument');
});

t('a sink that throws ends the reading', async () => {
  const body = bodyOf(
    encode([
      ['key', 'k'],
      ['file', Buffer.alloc(3_000_000), 'f'],
    ]),
    65536,
  );
  const form = await readPostForm(type, body);
  const sink = async () => {
    throw new S3Error('SlowDown');
  };
  assert.is(await code(form.file.read(sink)), 'SlowDown');
  assert.ok(body.taken() < 2_000_000);
});

t('a limited length', async () => {
  const attempt = async (min: number, max: number) => {
    const { file } = await readPostForm(
      type,
      bodyOf(
        encode([
          ['key', 'k'],
          ['file', 'bar', 'f'],
        ]),
      ),
    );
    return code(limitLength(file, min, max).read(() => {}));
  };
  assert.is(await attempt(0, 0), 'EntityTooLarge');
  assert.is(await attempt(0, 2), 'EntityTooLarge');
  assert.is(await attempt(3, 3), 'accepted');
  assert.is(await attempt(4, 9), 'EntityTooSmall');
  assert.is(await attempt(0, Infinity), 'accepted');
});

t.run();
