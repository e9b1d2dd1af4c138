/** When a leader looks of its own accord, in a time that the test tells. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createSchedule } from '../../sync/schedule.js';

const test = suite('sync/schedule');
const HOUR = 3_600_000;

function stage() {
  let time = 0;
  const done: string[] = [];
  const running: { quick: boolean; end: () => void | Promise<void> }[] = [];
  let fails = false;
  const schedule = createSchedule({
    scanMs: 10 * HOUR,
    quickScanMs: HOUR,
    scan: (quick, end) => running.push({ quick, end }),
    tell: async () => {
      if (fails) throw new Error('the disk is full');
      done.push('told');
    },
    collect: () => done.push('collected'),
    now: () => time,
  });
  return {
    schedule,
    done,
    /** What was begun after so long: `full`, `quick` or nothing. */
    after(ms: number): string {
      time += ms;
      schedule.begin();
      return running.map(({ quick }) => (quick ? 'quick' : 'full')).join();
    },
    end: async () => running.shift()!.end(),
    fail: (now: boolean) => {
      fails = now;
    },
  };
}

test('quick looks follow each other at their distance, each after the end of the one before', async () => {
  const { after, end } = stage();
  assert.is(after(HOUR - 1), '');
  assert.is(after(1), 'quick');
  assert.is(after(20 * HOUR), 'quick', 'no second one beside it, and no look at everything before the first has ended');
  await end();
  assert.is(after(HOUR - 1), '');
  assert.is(after(1), 'quick');
});

test('a look at everything, whoever wanted it, puts off the next; once a day it is cleaned up after', async () => {
  const { schedule, after, end, done } = stage();
  await schedule.scanned();
  assert.equal(done, ['collected', 'told']);
  assert.is(after(9 * HOUR), 'quick');
  await end();
  await schedule.scanned();
  assert.is(after(10 * HOUR - 1), 'quick');
  await end();
  assert.is(after(1), 'full');
  await end();
  assert.equal(done, ['collected', 'told', 'told', 'told']);
  after(24 * HOUR);
  await end();
  assert.is(done.filter((each) => each === 'collected').length, 2);
});

test('that it cannot be written down keeps nobody from looking again', async () => {
  const { schedule, after, end, fail } = stage();
  fail(true);
  for (const look of [() => schedule.scanned(), end]) {
    try {
      await look();
      assert.unreachable();
    } catch (error) {
      assert.match(String(error), /the disk is full/);
    }
    assert.is(after(10 * HOUR), 'full');
  }
});

test.run();
