/** What the sync engine is told of many changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNudges } from '../../sync/nudges.js';
import { until } from '../support/time.js';

const test = suite('nudges');

test('the first is passed on at once, those that follow together and each once', async () => {
  const passed: (readonly string[])[] = [];
  const nudge = createNudges((names) => passed.push(names), 50);
  nudge('a');
  assert.equal(passed, [['a']]);
  for (let i = 0; i < 1000; i++) nudge(i % 2 ? 'a' : 'b');
  assert.is(passed.length, 1);
  await until('the others', 5_000, () => passed.length === 2 || undefined);
  assert.equal([...passed[1]!].sort(), ['a', 'b']);
});

test('after a while the next one is the first again', async () => {
  const passed: (readonly string[])[] = [];
  const nudge = createNudges((names) => passed.push(names), 1);
  nudge('a');
  nudge('b');
  await until('both', 5_000, () => passed.length === 2 || undefined);
  await sleep(50);
  nudge('c');
  assert.equal(passed, [['a'], ['b'], ['c']]);
});

test('what is nudged while it is passed on is not lost', async () => {
  const passed: string[] = [];
  const nudge = createNudges((names) => {
    passed.push(...names);
    if (passed.length < 3) nudge(`after ${names}`);
  }, 1);
  nudge('a');
  await until('all', 5_000, () => passed.length === 3 || undefined);
});

test('after a failure the next ones are passed on', async () => {
  const passed: string[] = [];
  let failing = true;
  const nudge = createNudges((names) => {
    if (failing) throw new Error('cannot be sent');
    passed.push(...names);
  }, 1);
  assert.throws(() => nudge('a'), /cannot be sent/);
  failing = false;
  nudge('b');
  await until('the next one', 5_000, () => passed.length === 1 || undefined);
});

test.run();
