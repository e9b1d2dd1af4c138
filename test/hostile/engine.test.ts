// timeout: 180
/** The engine is killed, or all that it knows is removed, while both doors are used. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from '../support/time.js';
import { openTwoDoors, type TwoDoors, told } from '../support/two-doors.js';

const test = suite('hostile: the engine');

/** Processes that a gateway has started. */
const children = ({ gateway: { pid } }: TwoDoors): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);

test('killed again and again: requests are served, and each change is told once', async () => {
  const world = await openTwoDoors();
  try {
    const wanted: string[] = [];
    let stop = false;
    const work = async () => {
      for (let i = 0; !stop; i++) {
        world.write(`jobs/${i}`, 'x');
        await world.put(`s3/${i}`, 'x');
        wanted.push(`filesystem Created:Put jobs/${i}`, `s3 Created:Put s3/${i}`);
        await pause(50);
      }
    };
    const working = work();
    for (const signal of ['SIGKILL', 'SIGSEGV'] as const) {
      const before = await until('an engine', 20_000, () => children(world)[0]);
      await pause(1_500);
      process.kill(before, signal);
      await until('another engine', 20_000, () => {
        const [now] = children(world);
        return now !== undefined && now !== before ? true : undefined;
      });
    }
    await pause(2_000);
    stop = true;
    await working;
    assert.is((await world.sync()).State, 'done');
    await world.eventsAfter(wanted.length);
    assert.equal(world.events().map(told).sort(), wanted.sort());
    await until('the counts', 10_000, () => world.state().totals?.objects === wanted.length || undefined);
  } finally {
    await world.end();
  }
});

test('all that it knows of its buckets is removed while it works: it begins anew, and tells nothing again', async () => {
  const world = await openTwoDoors();
  try {
    for (let i = 0; i < 50; i++) world.write(`f${i}`, 'x');
    await world.eventsAfter(50);
    rmSync(join(world.gateway.root, '.tidegate/sync'), { recursive: true });
    await until('that it has noticed', 30_000, () => /made anew/.test(world.gateway.output()) || undefined);
    assert.is((await world.sync()).State, 'done');
    await world.put('s3', 'x');
    world.write('job', 'x');
    await until('both events', 20_000, () => world.events().length === 2 || undefined);
    assert.equal(world.events().map(told).sort(), ['filesystem Created:Put job', 's3 Created:Put s3']);
    await until('the counts', 10_000, () => world.state().totals?.objects === 52 || undefined);
  } finally {
    await world.end();
  }
});

test.run();
