// timeout: 300
/**
 * Random operations from both doors, with gateways killed in between; what is told afterwards is what a model says.
 *
 *     TIDEGATE_WORLDS=1234,20000,200,2 node dist/test/clients/two-worlds-random.test.js    seed, operations, kills, gateways
 */
import { suite } from 'uvu';
import { runWorlds } from '../random/world.js';

const test = suite('two worlds at random');

const given = process.env['TIDEGATE_WORLDS']?.split(',').map(Number);
const runs = given
  ? [{ seed: given[0]!, operations: given[1] ?? 3000, kills: given[2] ?? 15, gateways: given[3] ?? 1 }]
  : [
      { seed: 20260101, operations: 1500, kills: 7, gateways: 1 },
      { seed: 20260102, operations: 1500, kills: 8, gateways: 2 },
    ];

for (const run of runs) {
  const { seed, operations, kills, gateways } = run;
  test(`${operations} operations, ${kills} kills, gateways: ${gateways}, seed ${seed}`, async () => {
    const begun = performance.now();
    const figures = await runWorlds(run);
    console.log(JSON.stringify({ seed, ...figures, seconds: Math.round((performance.now() - begun) / 1000) }));
  });
}

test.run();
