import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../../gateway/errors.js';
import type { XmlValue } from '../../../gateway/s3/types.js';
import { maxListBytes, maxXmlBytes, readLongXml, readXml, type XmlElement } from '../../../gateway/s3/xml/read.js';
import { writeXml } from '../../../gateway/s3/xml/write.js';
import { processorMs } from '../../support/processor.js';

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

interface Tree {
  name: string;
  text: string;
  children: Tree[];
}

/** As `writeXml` takes it; equal names side by side are an array. */
function toXml({ text, children }: Tree): XmlValue {
  if (children.length === 0) return text;
  const value: { [name: string]: XmlValue[] } = Object.create(null);
  for (const each of children) (value[each.name] ??= []).push(toXml(each));
  return value;
}

/** As `readXml` must give it: children of one name stand together, and there is text only where there are none. */
function expectedOf({ name, text, children }: Tree): Tree {
  const names = Object.keys(toXml({ name, text, children }) as object);
  if (children.length === 0) return { name, text, children };
  const sorted = names.flatMap((each) => children.filter((child) => child.name === each));
  return { name, text: '', children: sorted.map(expectedOf) };
}

function plain({ name, text, children }: XmlElement): Tree {
  return { name, text, children: children.map(plain) };
}

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

const longCode = (text: string, maxElements = 1000) =>
  readLongXml(Buffer.from(text), 'A', maxElements).then(
    () => 'accepted',
    (error: S3Error) => error.code,
  );

test('above the limits', async () => {
  assert.is(code(`<A>${'x'.repeat(maxXmlBytes)}</A>`), 'MaxMessageLengthExceeded');
  assert.is(await longCode(`<A>${'x'.repeat(maxListBytes)}</A>`), 'MaxMessageLengthExceeded');
  assert.is(await longCode(`<A>${'<B/>'.repeat(999)}</A>`), 'accepted');
  assert.is(await longCode(`<A>${'<B/>'.repeat(1000)}</A>`), 'MalformedXML');
});

test('long text comes whole', async () => {
  const long = 'é'.repeat(300_000);
  assert.is((await readLongXml(Buffer.from(`<A>${long}</A>`), 'A', 1)).text, long);
});

test('wherever a long document is cut, it says the same', async () => {
  for (let shift = 0; shift < 40; shift++) {
    const text = `<A>${'.'.repeat(16 * 1024 - 40 + shift)}</A>`;
    for (const piece of ['<B x="a=b" y=\'>\'>&#x20AC;&amp;<![CDATA[<]]>🦀</B>', '<!-- a --><B/><B\n>é</B>']) {
      const nested = `<A><C>${text.slice(3, -4)}</C>${piece}</A>`;
      assert.equal(plain(await readLongXml(Buffer.from(nested), 'A', 9)), plain(read(nested)), `${shift} ${piece}`);
    }
    assert.is(
      await longCode(text.replace('</A>', '<B x="1" x="2"/></A>').replace(/\.+/, (dots) => `<C>${dots}</C>`)),
      'MalformedXML',
    );
  }
});

test('no document of eight megabytes keeps others waiting', async () => {
  const full = (piece: string, close = '') =>
    `<A>${piece.repeat(Math.floor((maxListBytes - 100) / (piece.length + close.length)))}${close}</A>`;
  const documents = [
    full('<B/>'),
    full('<B></B>'),
    full('<B>&#x1;</B>'),
    full('&amp;'),
    full('x'),
    full('<!-- -->'),
    full('<?p i?>'),
    full('<![CDATA[]]>'),
    `<A x="${'x'.repeat(maxListBytes - 100)}"/>`,
    `<A ${Array.from({ length: 400_000 }, (_, i) => `a${i}=""`).join(' ')}/>`,
    `<A><${'B'.repeat(maxListBytes - 100)}/></A>`,
    `<A><Key>${'&#x1;'.repeat(1024)}</Key>${`<B><Key>${'&#x1;'.repeat(1024)}</Key></B>`.repeat(1000)}</A>`,
  ];
  for (const document of documents) {
    const bytes = Buffer.from(document);
    // Processor time from one turn to the next, as the machine may have other work: half a second and two where it was
    // done in one go.
    let [worst, last, over] = [0, processorMs(), false];
    const turn = () => {
      const now = processorMs();
      worst = Math.max(worst, now - last);
      last = now;
      if (!over) setImmediate(turn);
    };
    setImmediate(turn);
    await readLongXml(bytes, 'A', 80_001).catch(() => {});
    turn();
    over = true;
    assert.ok(worst < 100, `${document.slice(0, 40)}: ${worst.toFixed(0)} ms`);
  }
});

test('what is written is read as it was, whatever the text', () => {
  const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,8}$/).filter((each) => each !== '__proto__');
  // NUL and the two that are no characters cannot stand in a document, not even by reference.
  const text = fc.string({ unit: 'binary', maxLength: 40 }).filter((each) => !/[\p{Cs}\0\ufffe\uffff]/u.test(each));
  const tree: (depth?: number) => fc.Arbitrary<Tree> = fc.memo((depth) =>
    fc.record({
      name,
      text,
      children: depth > 1 ? fc.array(tree(depth - 1), { maxLength: 4 }) : fc.constant([]),
    }),
  );
  fc.assert(
    fc.property(tree(4), (root) => {
      const back = readXml(Buffer.from(writeXml({ [root.name]: toXml(root) })), root.name);
      assert.equal(plain(back), expectedOf(root));
    }),
    { numRuns: 300 },
  );
});

test('garbage is refused as an S3Error and in no time', () => {
  const pieces = fc.constantFrom(
    ...['<A>', '</A>', '<A/>', '<B', ' x="', '"', "'", '>', '<', '&', '&#x', '&lt;', ';', ']]>', '<![CDATA[', '<!--'],
    ...[
      '-->',
      '<?xml ',
      '?>',
      '<!DOCTYPE A [',
      '<!ENTITY a "b">',
      ']>',
      '&a;',
      '=',
      '\u0000',
      '\ud800',
      'é',
      '  ',
      '1',
    ],
  );
  const soup = fc.array(fc.oneof(pieces, fc.string({ maxLength: 5 })), { maxLength: 60 }).map((each) => each.join(''));
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    soup.map((each) => Buffer.from(each)),
    soup.map((each) => Buffer.from(`<A>${each}</A>`)),
  );
  fc.assert(
    fc.property(bytes, (given) => {
      const started = processorMs();
      try {
        readXml(given, 'A');
      } catch (error) {
        assert.instance(error, S3Error);
        assert.is((error as S3Error).code, 'MalformedXML');
      }
      assert.ok(processorMs() - started < 1000);
    }),
    { numRuns: 2000 },
  );
});

for (const [kind, make] of [
  ['elements side by side', (n: number) => `<A>${'<b/>'.repeat(n)}</A>`],
  ['open elements', (n: number) => '<A>'.repeat(n)],
  ['attributes', (n: number) => `<A ${Array.from({ length: n }, (_, i) => `a${i}=""`).join(' ')}/>`],
  ['references', (n: number) => `<A>${'&#65;'.repeat(n)}</A>`],
  ['an entity without an end', (n: number) => `<A>&${'a'.repeat(n)}`],
  ['a name without an end', (n: number) => `<${'A'.repeat(n)}`],
  ['comments', (n: number) => `<A>${'<!---->'.repeat(n)}</A>`],
] as [string, (n: number) => string][]) {
  test(`time grows with the length only: ${kind}`, () => {
    const time = (n: number) => {
      const given = Buffer.from(make(n));
      const started = processorMs();
      code(given);
      return processorMs() - started;
    };
    time(5_000);
    // Eight times the length: quadratic work would take sixty-four times as long.
    const [short, long] = [time(25_000), time(200_000)];
    assert.ok(long < 24 * Math.max(short, 20), `${short} ms, ${long} ms`);
  });
}

test.run();
