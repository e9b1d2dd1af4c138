import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readXml } from '../../../gateway/s3/xml/read.js';
import { writeXml } from '../../../gateway/s3/xml/write.js';

const test = suite('xml/write');
const head = '<?xml version="1.0" encoding="UTF-8"?>\n';
const ns = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"';

test('elements, arrays, undefined, attributes', () => {
  const written = writeXml({
    A: {
      B: ['1', 2],
      C: undefined,
      D: { '@xsi:type': 'X"<', E: true },
      F: '',
      G: {},
      H: [],
      I: { '@a': 'b', '#text': '&' },
    },
  });
  assert.is(
    written,
    `${head}<A${ns}><B>1</B><B>2</B><D xsi:type="X&quot;&lt;"><E>true</E></D><F></F><G></G><I a="b">&amp;</I></A>`,
  );
});

test('an Error and a PostResponse have no namespace; an empty root stays', () => {
  assert.is(writeXml({ PostResponse: { Key: 'k' } }, false), '<PostResponse><Key>k</Key></PostResponse>');
  assert.is(writeXml({ Error: { Code: 'X' } }, false), '<Error><Code>X</Code></Error>');
  assert.is(writeXml({ A: undefined }), `${head}<A${ns}></A>`);
});

test('control characters as references', () => {
  assert.is(writeXml({ Error: '\t\n\r\u0001\u007f' }, false), '<Error>&#x9;&#10;&#xD;&#x1;&#x7F;</Error>');
});

test('any key comes back through our reader', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 50 }), (key) => {
      fc.pre(!key.includes('\0') && !/\p{Cs}/u.test(key));
      assert.is(readXml(Buffer.from(writeXml({ A: { K: key } })), 'A').children[0]?.text, key);
    }),
    { numRuns: 500 },
  );
});

test.run();
