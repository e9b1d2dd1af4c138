/** Whether the main thread has time to spare, told by what it has done since it was asked the last time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createCalm } from '../../../gateway/storage/posix/calm.js';

const test = suite('calm');

/** A main thread that has been active and idle for so long. */
function thread() {
  const usage = { idle: 0, active: 0, utilization: 0 };
  const calm = createCalm(() => ({ ...usage }));
  return (active: number, idle: number): boolean => {
    usage.active += active;
    usage.idle += idle;
    return calm();
  };
}

test('it is calm while the main thread is idle for more than a part of its time', () => {
  const after = thread();
  assert.is(after(20, 80), true);
  assert.is(after(90, 10), false);
  assert.is(after(50, 50), true);
  assert.is(after(65, 35), false);
});

test('a moment changes nothing, and moments add up', () => {
  const after = thread();
  assert.is(after(0, 3), false, 'nothing is known yet');
  assert.is(after(1, 3), true);
  assert.is(after(4, 0), true);
  assert.is(after(4, 0), false);
});

test('what was long ago tells nothing of now', () => {
  const after = thread();
  assert.is(after(10, 90), true);
  assert.is(after(0, 10_000), false);
  assert.is(after(10, 90), true);
});

test('of this very thread', async () => {
  const calm = createCalm();
  await sleep(50);
  assert.is(calm(), true);
  for (const end = performance.now() + 100; performance.now() < end; );
  await sleep(1);
  assert.is(calm(), false);
});

test.run();
