import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  decodeHeader,
  decodeUserMetadata,
  encodeHeader,
  encodeUserMetadata,
  fitsHeader,
} from '../../gateway/s3/header-text.js';

const test = suite('header text');
const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.string({ unit: 'grapheme', maxLength: 200 }));

test('user metadata survives the way out and in, on lines that are mail-safe', () => {
  fc.assert(
    fc.property(text, (value) => {
      const sent = encodeUserMetadata(value);
      assert.match(sent, /^[\x20-\x7e]*$/);
      if (sent !== value) for (const word of sent.split(' ')) assert.ok(word.length <= 75);
      assert.is(decodeUserMetadata(sent), value);
    }),
  );
});

test('other headers survive as UTF-8', () => {
  fc.assert(fc.property(text, (value) => decodeHeader(encodeHeader(value)) === value));
});

test('encoded words of other senders', () => {
  for (const [sent, meant] of [
    ['=?UTF-8?Q?caf=C3=A9_x?=', 'café x'],
    ['=?utf-8?b?5pel?= =?utf-8?b?5pys?=', '日本'],
    // One character cut in two.
    ['=?UTF-8?B?5pc=?= =?UTF-8?B?pQ==?=', '日'],
    ['a =?UTF-8?B?5pel?= b', 'a 日 b'],
    // Not UTF-8, another charset, no encoded word at all: as they are.
    ['=?UTF-8?B?/w==?=', '=?UTF-8?B?/w==?='],
    ['=?ISO-8859-1?Q?=E9?=', '=?ISO-8859-1?Q?=E9?='],
    ['what=?', 'what=?'],
  ] as const) {
    assert.is(decodeUserMetadata(sent), meant);
  }
  assert.is(decodeUserMetadata('Hello World\xe9'), 'Hello World\xe9', 'bytes that are no UTF-8 are latin1');
  assert.is(decodeUserMetadata('caf\xc3\xa9'), 'café');
});

test('what a header may hold', () => {
  assert.ok(fitsHeader('a\tb 日本'));
  for (const bad of ['a\r\nb', 'a\nb', '\0', '\x7f']) assert.not(fitsHeader(bad));
});

test.run();
