import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { timestamp } from '../gateway/reply-text.js';

const DAY_MS = 86_400_000;

/** What a Date says of the whole second. */
const byDate = (milliseconds: number): string => new Date(Math.floor(milliseconds / 1000) * 1000).toISOString();

test('a time is told as a Date tells it, day after day and back', () => {
  const days = [-106_751, -719_528, -25_509, -1, 0, 1, 11_016, 11_017, 19_782, 20_783, 20_784, 106_751, 2_932_897];
  const times = [0, 1, 999, 1000, 59_999, 60_000, 3_599_999, 3_600_000, 43_200_000, DAY_MS - 1001, DAY_MS - 1];
  for (const day of days) {
    for (const time of times) {
      const at = day * DAY_MS + time;
      assert.is(timestamp(at), byDate(at), `${at}`);
    }
  }
  // In turns, so that no day is the one before.
  for (const time of times) {
    for (const day of days) assert.is(timestamp(day * DAY_MS + time), byDate(day * DAY_MS + time));
  }
});

test.run();
