import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeHeader, encodeHeader, fitsHeader } from '../../gateway/s3/header-text.js';

const test = suite('header text');
const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.string({ unit: 'grapheme', maxLength: 200 }));

test('headers survive as UTF-8', () => {
  fc.assert(fc.property(text, (value) => decodeHeader(encodeHeader(value)) === value));
});

test('what a header may hold', () => {
  assert.ok(fitsHeader('a\tb 日本'));
  for (const bad of ['a\r\nb', 'a\nb', '\0', '\x7f']) assert.not(fitsHeader(bad));
});

test.run();
