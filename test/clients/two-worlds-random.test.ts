// timeout: 300
/**
 * Random operations from both doors, with gateways killed in between; what is told afterwards is what a model says.
 *
 *     TIDEGATE_WORLDS=1234,20000,200,2 node dist/test/clients/two-worlds-random.test.js
 *
 * seed, operations, kills, gateways; and `,synced` for a bucket in which files of jobs are seen after a sync only.
 */
import { suite } from 'uvu';
import { runWorlds } from '../random/world.js';

const test = suite('two worlds at random');

const given = process.env['TIDEGATE_WORLDS']?.split(',');
const [seed = 1, operations = 3000, kills = 15, gateways = 1] = given?.slice(0, 4).map(Number) ?? [];
const runs = given
  ? [{ seed, operations, kills, gateways, synced: given[4] === 'synced' }]
  : [
      { seed: 20260101, operations: 1500, kills: 7, gateways: 1, synced: false },
      { seed: 20260102, operations: 1500, kills: 8, gateways: 2, synced: false },
      { seed: 20260103, operations: 800, kills: 3, gateways: 1, synced: true },
    ];

for (const run of runs) {
  const { seed, operations, kills, gateways, synced } = run;
  const what = `${operations} operations, ${kills} kills, gateways: ${gateways}${synced ? ', synced' : ''}, seed ${seed}`;
  test(what, async () => {
    const begun = performance.now();
    const figures = await runWorlds(run);
    console.log(
      JSON.stringify({ seed, gateways, synced, ...figures, seconds: Math.round((performance.now() - begun) / 1000) }),
    );
  });
}

test.run();
