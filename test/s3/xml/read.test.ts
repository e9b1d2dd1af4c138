import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { S3Error } from '../../../gateway/errors.js';
import { readXml } from '../../../gateway/s3/xml/read.js';

const test = suite('xml/read');
const read = (text: string | Uint8Array, root = 'A') =>
  readXml(typeof text === 'string' ? Buffer.from(text) : text, root);
const code = (text: string | Uint8Array) => {
  try {
    read(text);
    return 'accepted';
  } catch (error) {
    return (error as S3Error).code;
  }
};

test('a tree with local names, references, CDATA and spaces kept', () => {
  const root = read(
    '<?xml version="1.0" encoding="UTF-8"?>\n<x:A xmlns:x="u"><B> &lt;&#x20AC;&#13;</B><B><![CDATA[<]]></B></x:A>',
  );
  assert.is(root.name, 'A');
  assert.equal(
    root.children.map((each) => each.text),
    [' <€\r', '<'],
  );
});

test('references to control characters are read: keys have them', () => {
  assert.is(read('<A>&#x1;</A>').text, '\u0001');
});

const refused: Record<string, string | Uint8Array> = {
  empty: '',
  'white space only': ' \n',
  'declaration only': '<?xml version="1.0"?>',
  'two roots': '<A/><A/>',
  'text behind the root': '<A/>x',
  'unclosed root': '<A>',
  'crossed tags': '<A><B></A></B>',
  doctype: '<!DOCTYPE A><A/>',
  'internal entity': '<!DOCTYPE A [<!ENTITY e "x">]><A>&e;</A>',
  'entity of a prototype': '<A>&constructor;</A>',
  'unknown entity': '<A>&nbsp;</A>',
  'attribute twice': '<A x="1" x="2"/>',
  'attribute twice in other quotes': `<A x="1" y='=' x='2'/>`,
  'attribute without quotes': '<A x=1/>',
  'too deep': `${'<A>'.repeat(30)}${'</A>'.repeat(30)}`,
  'text beside elements': '<A>x<B/></A>',
  'raw control character': '<A>\u0001</A>',
  'reference to NUL': '<A>&#0;</A>',
  'half a surrogate pair': '<A>&#xD800;</A>',
  'not UTF-8': Buffer.from([0x3c, 0x41, 0x3e, 0xff, 0x3c, 0x2f, 0x41, 0x3e]),
  'another encoding': '<?xml version="1.0" encoding="UTF-16"?><A/>',
  'another root': '<B/>',
  'no XML': '{"a":1}',
};
for (const [name, text] of Object.entries(refused))
  test(`refused: ${name}`, () => assert.is(code(text), 'MalformedXML'));

test('the same attribute value may hold an equals sign', () => {
  assert.is(read('<A x="a=b" y="c"/>').attributes['x'], 'a=b');
});

test('above the limit', () => {
  assert.throws(
    () => readXml(Buffer.from('<A></A>'), 'A', 5),
    (e: S3Error) => e.code === 'MaxMessageLengthExceeded',
  );
});

test('long text comes whole', () => {
  const long = 'é'.repeat(300_000);
  assert.is(read(`<A>${long}</A>`).text, long);
});

test.run();
