import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judge, type Sample } from './soak-watch.js';

const flat: Sample = { rss: 300, heap: 40, descriptors: 60, threads: 30, staged: 0 };
const growing = (name: keyof Sample, by: number): Sample[] =>
  Array.from({ length: 100 }, (_, at) => ({ ...flat, [name]: flat[name] + at * by }));
const grown = (samples: readonly Sample[], after: Partial<Sample> = {}) =>
  judge(samples, [flat, { ...flat, ...after }]).flatMap((one) => (one.flat ? [] : [one.name]));

test('what stays, or only warms up, is flat', () => {
  assert.equal(grown(growing('rss', 0)), []);
  assert.equal(grown(growing('rss', 0).map((sample, at) => (at < 20 ? { ...sample, rss: 100, heap: 5 } : sample))), []);
  // A moment of much to do.
  assert.equal(grown(growing('rss', 0).map((sample, at) => (at === 90 ? { ...sample, rss: 900 } : sample))), []);
});

test('what grows, or does not come back, is told', () => {
  assert.equal(grown(growing('rss', 1)), ['rss']);
  assert.equal(grown(growing('heap', 0.5)), ['heap']);
  assert.equal(grown(growing('threads', 0.1)), ['threads']);
  assert.equal(grown(growing('rss', 0), { descriptors: 61 }), ['descriptors']);
  assert.equal(grown(growing('rss', 0), { staged: 1 }), ['staged']);
});

test.run();
