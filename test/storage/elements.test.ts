import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createElements } from '../../gateway/storage/elements.js';

const form = { name: 'Contents', encoded: false, owner: false, extra: '' };

test('each object of a page has its own time, also of a year with five digits', () => {
  const times = [
    ...['2026-11-27T13:00:00.000Z', '2026-11-27T13:00:00.999Z', '2026-11-27T13:00:01.000Z', '2024-02-29T23:59:59.000Z'],
    ...[
      '+010000-01-01T00:00:00.000Z',
      '+010000-01-01T00:00:01.000Z',
      '2026-11-27T13:00:00.000Z',
      '1969-12-31T23:59:59.000Z',
    ],
  ];
  const out = createElements(form, times.length);
  for (const [i, time] of times.entries()) {
    out.object(`key-${i}`, { size: i, etag: `etag-${i}`, lastModified: Date.parse(time) });
  }
  const text = Buffer.from(out.part([]).objects).toString();
  const told = [
    ...text.matchAll(/<Key>(key-\d)<\/Key><LastModified>([^<]*)<\/LastModified><ETag>&quot;(etag-\d)&quot;</g),
  ];
  assert.equal(
    told.map(([, key, time, etag]) => [key, time, etag]),
    times.map((time, i) => [`key-${i}`, time.replace('.999Z', '.000Z'), `etag-${i}`]),
  );
});

test.run();
