import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { gathering } from '../../sync/gather.js';

const test = suite('gather');
const few = { perDirectory: 3, names: 8, directories: 4 };

test('what is told twice is given once, and taken once', () => {
  const g = gathering<string>(few);
  assert.ok(g.empty);
  g.add('a/', 'x');
  g.add('a/', 'x', true);
  g.add('a/', 'x');
  g.add('', 'y');
  assert.not(g.empty);
  assert.equal(g.take(), [
    { dir: 'a/', name: 'x', deep: true },
    { dir: '', name: 'y' },
  ]);
  assert.ok(g.empty);
  assert.equal(g.take(), []);
});

test('many names become the directory, those with a tree below stay', () => {
  const g = gathering<string>(few);
  g.add('', 'tree', true);
  for (const name of ['a', 'b', 'c', 'd']) g.add('', name);
  assert.equal(g.take(), [{ dir: '' }, { dir: '', name: 'tree', deep: true }]);
  for (const name of ['a', 'b', 'c', 'd']) g.add('', name, true);
  assert.equal(g.take(), [{ dir: '', deep: true }]);
  g.add('', 'a', true);
  g.add('', undefined);
  g.add('', 'b');
  assert.equal(g.take(), [{ dir: '' }, { dir: '', name: 'a', deep: true }]);
  g.add('', undefined, true);
  g.add('', 'b', true);
  assert.equal(g.take(), [{ dir: '', deep: true }]);
});

test('many names in all become their directories, many directories everything; then it begins anew', () => {
  const g = gathering<number>(few);
  for (let dir = 0; dir < 3; dir++) for (const name of ['a', 'b', 'c']) g.add(dir, name);
  assert.equal(g.take(), [{ dir: 0 }, { dir: 1 }, { dir: 2 }]);
  for (let dir = 0; dir < 5; dir++) g.add(dir, 'a');
  g.add(0, 'b');
  assert.is(g.take(), 'everything');
  assert.equal(g.take(), []);
  g.add(9, 'z');
  assert.equal(g.take(), [{ dir: 9, name: 'z' }]);
});

test('what is usual leaves thousands of names of a directory names, and not millions', () => {
  const g = gathering<string>();
  const add = (many: number) => {
    for (let i = 0; i < many; i++) g.add('', `${i}`);
    return g.take();
  };
  assert.is(add(10_000).length, 10_000);
  assert.equal(add(30_000), [{ dir: '' }]);
});

test('a name is forgotten, but not a tree below it', () => {
  const g = gathering<string>(few);
  g.add('', 'a');
  g.add('', 'b', true);
  g.forget('', 'a');
  g.forget('', 'b');
  g.forget('x/', 'c');
  assert.equal(g.take(), [{ dir: '', name: 'b', deep: true }]);
  g.add('', 'a');
  g.forget('', 'a');
  assert.ok(g.empty);
});

test.run();
