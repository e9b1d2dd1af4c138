import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { table } from '../../gateway/cli/table.js';

test('two columns with borders, as s3dskey create prints them', () => {
  assert.is(
    table([
      ['accesskey', 'AKIA'],
      ['tag', '0001:a:b'],
    ]),
    '+-----------+----------+\n| accesskey | AKIA     |\n| tag       | 0001:a:b |\n+-----------+----------+\n',
  );
});

test('a header is set off; without rows it stands alone', () => {
  assert.is(table([['x']], ['Name']), '+------+\n| Name |\n+------+\n| x    |\n+------+\n');
  assert.is(table([], ['Name']), '+------+\n| Name |\n+------+\n');
});

test('wide letters take two columns', () => {
  assert.is(table([['日本'], ['abcde']]), '+-------+\n| 日本  |\n| abcde |\n+-------+\n');
});

test('control characters do not reach the terminal', () => {
  assert.match(table([['a\u001b[2Jb\n']]), '| a\\x1b[2Jb\\x0a |');
});

test.run();
