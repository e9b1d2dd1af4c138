// timeout: 180
/** The feed: in order, once, whatever dies; bounded, and honest about what it dropped. */
import { type ChildProcess, fork } from 'node:child_process';
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFeed } from '../../sync/feed.js';
import { type FeedReader, openFeedReader } from '../../sync/feed-reader.js';
import { tempDir } from '../support/temp.js';
import { until } from '../support/time.js';
import { event, events } from './changes.js';

const test = suite('sync/feed');
const feedOf = () => join(tempDir(), 'sync', 'feed');
const sizeOf = (directory: string) =>
  readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);

/** Everything behind `after`, in pages of odd sizes; checks that nothing is missing that was not told. */
function all(reader: FeedReader, after = 0): { seqs: number[]; dropped: { from: number; to: number }[] } {
  const seqs: number[] = [];
  const dropped: { from: number; to: number }[] = [];
  for (let limit = 1; ; limit = (limit % 37) + 1) {
    const page = reader.read(after, limit);
    assert.ok(page.events.length <= limit);
    if (page.dropped) {
      assert.is(page.dropped.from, after + 1);
      dropped.push(page.dropped);
      after = page.dropped.to;
    }
    for (const { seq, key } of page.events) {
      assert.is(seq, ++after, 'no gap that was not told');
      assert.is(key, `k${seq}`);
      seqs.push(seq);
    }
    if (page.events.length === 0) return { seqs, dropped };
    assert.is(page.last, after);
  }
}

test('what is appended is read, from anywhere', () => {
  const directory = feedOf();
  const reader = openFeedReader(directory);
  assert.equal(reader.read(0, 10), { events: [], last: 0 });
  assert.equal([reader.oldest(), reader.newest()], [0, 0]);
  const feed = openFeed(directory, { rollBytes: 2000 });
  assert.is(feed.newest(), 0);
  const odd = event(1, { key: '日本語\n"', renamedFrom: 'a b', requester: 'x', sourceIp: '::1', requestId: 'R' });
  feed.append([odd]);
  assert.equal(reader.read(0, 10), { events: [odd], last: 1 });
  feed.append(events(2, 100));
  assert.is(feed.newest(), 100);
  assert.ok(readdirSync(directory).length > 5, 'files roll');
  assert.equal([reader.oldest(), reader.newest()], [1, 100]);
  for (const after of [1, 2, 50, 99, 100, 7]) {
    for (const each of [reader, openFeedReader(directory)]) assert.is(all(each, after).seqs.length, 100 - after);
  }
  assert.is(statSync(directory).mode & 0o777, 0o700);
  assert.is(statSync(join(directory, readdirSync(directory)[0]!)).mode & 0o777, 0o600);
  feed.close();
});

test('what is there already is left out, also after a restart', () => {
  const directory = feedOf();
  const first = openFeed(directory, { rollBytes: 1000 });
  first.append(events(1, 10));
  first.append(events(5, 15));
  first.append([]);
  first.append(events(3, 9));
  first.append([event(16), event(16), event(15)]);
  first.close();
  const second = openFeed(directory, { rollBytes: 1000 });
  assert.is(second.newest(), 16);
  second.append(events(1, 20));
  assert.equal(
    all(openFeedReader(directory)).seqs,
    Array.from({ length: 20 }, (_, at) => at + 1),
  );
  second.close();
});

test('a torn last line is cut off, and its event can be appended again', () => {
  for (const keep of [1, 20, 150, 170]) {
    const directory = feedOf();
    const feed = openFeed(directory);
    feed.append(events(1, 2));
    feed.close();
    const path = join(directory, readdirSync(directory)[0]!);
    const { size } = statSync(path);
    const firstLine = readFileSync(path, 'utf8').indexOf('\n') + 1;
    truncateSync(path, Math.min(size - 1, firstLine + keep));
    const reader = openFeedReader(directory);
    assert.equal(all(reader).seqs, [1], 'half an event is none');
    const again = openFeed(directory);
    assert.is(again.newest(), 1);
    again.append(events(1, 3));
    assert.equal(all(reader).seqs, [1, 2, 3]);
    assert.equal(all(reader, 1).seqs, [2, 3]);
    again.close();
  }
});

test('a crash between making a file and writing to it', () => {
  const directory = feedOf();
  const feed = openFeed(directory);
  feed.append(events(1, 3));
  feed.close();
  writeFileSync(join(directory, '0000000000000004.jsonl'), '');
  writeFileSync(join(directory, 'README'), 'not ours');
  const again = openFeed(directory);
  assert.is(again.newest(), 3);
  assert.is(openFeedReader(directory).newest(), 3);
  again.append(events(4, 5));
  assert.equal(all(openFeedReader(directory)).seqs, [1, 2, 3, 4, 5]);
  again.close();
});

test('bounded: the oldest go, and whoever had not read them is told', () => {
  const directory = feedOf();
  const feed = openFeed(directory, { maxBytes: 20_000, rollBytes: 4000 });
  const [early, behind] = [openFeedReader(directory), openFeedReader(directory)];
  feed.append(events(1, 10));
  assert.is(behind.read(0, 5).last, 5);
  let seen = 0;
  for (let last = 10; last < 2000; last += 10) {
    feed.append(events(last + 1, last + 10));
    const page = early.read(seen, 1000);
    assert.is(page.dropped, undefined, 'who keeps up misses nothing');
    assert.is(page.events.length, last + 10 - seen);
    seen = page.last;
    assert.ok(sizeOf(directory) <= 24_000);
  }
  const { seqs, dropped } = all(behind, 5);
  const oldest = behind.oldest();
  assert.ok(oldest > 1000);
  assert.equal(dropped, [{ from: 6, to: oldest - 1 }]);
  assert.is(seqs[0], oldest);
  assert.is(seqs.at(-1), 2000);
  assert.equal(all(openFeedReader(directory), oldest - 1).dropped, [], 'nobody misses what was read');
  feed.close();
});

test('numbers that are missing inside are told, between what stands before and behind them', () => {
  const directory = feedOf();
  const feed = openFeed(directory, { rollBytes: 1000 });
  feed.append([...events(1, 3), ...events(7, 60)]);
  const reader = openFeedReader(directory);
  assert.equal(reader.read(0, 100).last, 3);
  assert.equal(reader.read(3, 100).dropped, { from: 4, to: 6 });
  assert.equal(reader.read(4, 2), { events: events(7, 8), dropped: { from: 5, to: 6 }, last: 8 });
  // A file that somebody took away, and one with garbage in it.
  const names = readdirSync(directory).sort();
  assert.ok(names.length > 4);
  unlinkSync(join(directory, names[2]!));
  const path = join(directory, names.at(-2)!);
  writeFileSync(path, readFileSync(path, 'utf8').replace('"seq"', '"sea"'));
  const { dropped, seqs } = all(reader);
  assert.is(dropped.length, 3);
  const lost = dropped.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  assert.is(lost + seqs.length, 60);
  feed.close();
});

test('a full disk leaves the feed as it was', () => {
  const directory = feedOf();
  const feed = openFeed(directory, { durable: false });
  feed.append(events(1, 5));
  const path = join(directory, readdirSync(directory)[0]!);
  const { size } = statSync(path);
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  assert.throws(() => feed.append([event(6), event(7, cyclic as object)]));
  assert.is(statSync(path).size, size);
  assert.is(feed.newest(), 5);
  feed.append(events(6, 7));
  assert.equal(all(openFeedReader(directory)).seqs, [1, 2, 3, 4, 5, 6, 7]);
  // Two that think they lead: the second to write is refused.
  appendFileSync(path, `${JSON.stringify(event(8))}\n`);
  assert.throws(() => feed.append([event(8)]), 'another process');
  assert.equal(all(openFeedReader(directory)).seqs.length, 8);
  feed.close();
});

test('a number to begin with, by time', () => {
  const directory = feedOf();
  const feed = openFeed(directory, { rollBytes: 2000 });
  feed.append(events(1, 100));
  const reader = openFeedReader(directory);
  const { time } = event(50);
  assert.is(reader.before(time), 49);
  assert.is(reader.before(time + 0.5), 50);
  assert.is(reader.before(0), 0);
  assert.is(reader.before(Date.now() + 1e9), 100);
  // Files of long before are not opened: nothing in them is asked for.
  const names = readdirSync(directory).sort();
  for (const name of names.slice(0, 3)) {
    utimesSync(join(directory, name), time / 1000 - 500, time / 1000 - 500);
    writeFileSync(join(directory, name), '');
    utimesSync(join(directory, name), time / 1000 - 500, time / 1000 - 500);
  }
  assert.is(reader.before(time), 49);
  assert.is(openFeedReader(feedOf()).before(time), 0);
  feed.close();
});

test('kill -9 at any moment, read while it is written: each once, in order', async () => {
  const directory = feedOf();
  const tail = openFeedReader(directory);
  let [seen, told] = [0, 0];
  const follow = () => {
    for (;;) {
      const page = tail.read(seen, 100);
      assert.is(page.dropped, undefined);
      for (const { seq, key } of page.events) {
        assert.is(seq, ++seen);
        assert.is(key, `k${seq}`);
      }
      if (page.events.length === 0) return;
    }
  };
  for (let round = 0; round < 8; round++) {
    const child: ChildProcess = fork(fileURLToPath(new URL('./feed-child.js', import.meta.url)), [directory]);
    const start = told;
    child.on('message', (seq: number) => {
      told = Math.max(told, seq);
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    await until('the child appends', 20_000, () => {
      follow();
      return told > start + 500 ? true : undefined;
    });
    await sleep((round * 17) % 53);
    child.kill('SIGKILL');
    await ended;
    follow();
    assert.ok(seen >= told, `${seen} of ${told}`);
  }
  assert.ok(readdirSync(directory).length > 5);
  assert.is(all(openFeedReader(directory)).seqs.length, seen);
});

test.run();
