/** When the leader of a bucket has its next turn. */
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createPace } from '../../sync/pace.js';

const test = suite('turns of a bucket');

const during = (ms: number): void => {
  for (const end = performance.now() + ms; performance.now() < end; );
};
const measured = async (work: Promise<void>): Promise<number> => {
  const from = performance.now();
  await work;
  return performance.now() - from;
};

test('where nothing comes in there is a turn after the time that was given', async () => {
  const pace = createPace();
  pace.begin();
  const ms = await measured(pace.rest(60));
  assert.ok(ms > 55, `${ms} ms`);
});

test('what comes in is taken soon, and not at once: others come with it', async () => {
  const pace = createPace();
  pace.begin();
  const resting = measured(pace.rest(60_000));
  await pause(20);
  pace.nudge();
  pace.nudge();
  const ms = await resting;
  assert.ok(ms > 24 && ms < 5_000, `${ms} ms`);
  // What has come during the turn, too.
  pace.begin();
  pace.nudge();
  const next = await measured(pace.rest(60_000));
  assert.ok(next > 4 && next < 5_000, `${next} ms`);
});

test('after a turn that took long there is a rest that is longer, but within bounds', async () => {
  for (const [took, least] of [
    [10, 38],
    [60, 98],
  ] as const) {
    for (const meanwhile of [true, false]) {
      const pace = createPace();
      pace.begin();
      during(took);
      if (meanwhile) pace.nudge();
      const resting = measured(pace.rest(60_000));
      if (!meanwhile) pace.nudge();
      const ms = await resting;
      assert.ok(ms > least && ms < 5_000, `${ms} ms after ${took}`);
    }
  }
  // What is due by itself is, unless the machine is busy.
  const pauses: number[] = [];
  for (let i = 0; i < 5; i++) {
    const pace = createPace();
    pace.begin();
    during(60);
    pace.nudge();
    pauses.push(await measured(pace.rest(0)));
  }
  assert.ok(Math.min(...pauses) < 90, `${pauses} ms`);
});

test('after a failure nothing makes it sooner than it is to be', async () => {
  const pace = createPace();
  pace.begin();
  const resting = measured(pace.rest(60_000, 150));
  pace.nudge();
  const ms = await resting;
  assert.ok(ms > 145 && ms < 5_000, `${ms} ms`);
});

test.run();
