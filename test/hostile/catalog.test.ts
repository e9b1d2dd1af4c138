// timeout: 240
/** The catalog of a bucket is spoilt under the engine, which dies of it: requests are served, and the engine comes back. */
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, readdirSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from '../support/time.js';
import { openTwoDoors, type TwoDoors, told } from '../support/two-doors.js';

const test = suite('hostile: damaged catalogs');
const PAGE = 4096;

const directoryOf = ({ gateway: { root } }: TwoDoors): string => {
  const [name] = readdirSync(join(root, '.tidegate/sync'));
  return join(root, '.tidegate/sync', name!);
};
const damage = (path: string): void => {
  const fd = openSync(path, 'r+');
  const garbage = randomFillSync(Buffer.alloc(PAGE - 16));
  for (let at = 2 * PAGE; at < statSync(path).size; at += PAGE) writeSync(fd, garbage, 0, garbage.length, at + 16);
  closeSync(fd);
};
const cut = (path: string): void => truncateSync(path, 2 * PAGE + 100);

const fill = async (world: TwoDoors): Promise<void> => {
  for (let i = 0; i < 300; i++) world.write(`d${i % 10}/f${i}`, 'x');
  await world.eventsAfter(300);
};

/** What is changed through both doors is told, once, and counted. */
const works = async (world: TwoDoors): Promise<void> => {
  const from = world.events().length;
  const { bytes, objects } = { objects: 302, bytes: 304 };
  await world.put('through-s3', 'xx');
  world.write('by-a-job', 'xx');
  const wanted = ['filesystem Created:Put by-a-job', 's3 Created:Put through-s3'];
  await until('both events', 40_000, () => {
    const events = world.events().slice(from).map(told);
    return wanted.every((each) => events.includes(each)) || undefined;
  });
  assert.equal(world.events().slice(from).map(told).sort(), wanted);
  await until('the counts', 10_000, () => {
    const { totals } = world.state();
    return (totals?.objects === objects && totals.bytes === bytes) || undefined;
  });
};

for (const [what, how, spoil] of [
  ['pages overwritten while no gateway runs', 'stop', damage],
  ['pages overwritten after a crash', 'kill9', damage],
  ['cut off after a crash', 'kill9', cut],
] as const) {
  test(what, async () => {
    const world = await openTwoDoors();
    try {
      await fill(world);
      await world.restart(how, () => spoil(join(directoryOf(world), 'catalog.mdb')));
      for (let i = 0; i < 20; i++) {
        await world.put('while-it-dies', 'x');
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      await until('the catalog made anew', 30_000, () => /made anew/.test(world.gateway.output()) || undefined);
      assert.is(world.events().filter(({ key }) => key !== 'while-it-dies').length, 300, 'nothing is told again');
      rmSync(world.file('while-it-dies'));
      await until('its going', 20_000, () => world.events().at(-1)?.name === 'ObjectRemoved:Delete' || undefined);
      await works(world);
    } finally {
      await world.end();
    }
  });
}

for (const [what, spoil] of [
  ['cut off while the engine works with it', cut],
  ['overwritten while the engine works with it', damage],
] as const) {
  test(what, async () => {
    const world = await openTwoDoors();
    try {
      await fill(world);
      spoil(join(directoryOf(world), 'catalog.mdb'));
      for (let i = 0; i < 30; i++) {
        await world.put(`meanwhile/${i}`, 'x');
        world.write(`meanwhile/of-a-job-${i}`, 'x');
      }
      await until('trouble', 40_000, () => /made anew/.test(world.gateway.output()) || undefined);
      for (let i = 0; i < 30; i++) rmSync(world.file(`meanwhile/${i}`));
      rmSync(world.file('meanwhile'), { recursive: true });
      assert.is((await world.sync()).State, 'done');
      assert.is(world.events().filter(({ key }) => key.startsWith('d')).length, 300, 'nothing is told again');
      await works(world);
    } finally {
      await world.end();
    }
  });
}

test.run();
