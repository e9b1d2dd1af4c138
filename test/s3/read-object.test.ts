/** What a reply to a read says is of this read alone, also where the object's metadata are remembered for all. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseQuery } from '../../gateway/http/target.js';
import { objectReplyHeaders } from '../../gateway/s3/object-headers.js';
import { planReading } from '../../gateway/s3/read-object.js';
import type { Context } from '../../gateway/s3/types.js';
import { freeze } from '../../gateway/storage/frozen.js';
import type { ObjectInfo } from '../../gateway/storage/types.js';

const test = suite('s3/read-object');

const remembered = (): ObjectInfo => ({
  key: 'a/b.txt',
  size: 10,
  lastModified: Date.UTC(2026, 0, 2),
  meta: freeze({ etag: 'e-0', headers: { contentType: 'text/plain' }, user: { by: 'anna' } }),
});

const plan = (info: ObjectInfo, query = '', headers: Record<string, string> = {}) =>
  planReading({ headers: new Map(Object.entries(headers)), query: parseQuery(query) } as unknown as Context, info);

test('ranges and overrides of one request are not those of the next', () => {
  const info = remembered();
  for (let times = 0; times < 2; times++) {
    const part = plan(info, 'response-content-type=text%2Fhtml', { range: 'bytes=0-3' });
    assert.is(part.status, 206);
    assert.is(part.headers['content-range'], 'bytes 0-3/10');
    assert.is(part.headers['content-type'], 'text/html');
    const whole = plan(info);
    assert.is(whole.status, 200);
    assert.equal(whole.headers, {
      etag: '"e-0"',
      'last-modified': 'Fri, 02 Jan 2026 00:00:00 GMT',
      'accept-ranges': 'bytes',
      'content-type': 'text/plain',
      'x-amz-meta-by': 'anna',
    });
  }
});

test('the same metadata under another key, or of another time, are told as such', () => {
  const info = remembered();
  const bare = { ...info, meta: freeze({ etag: 'e-0', headers: {}, user: {} }) };
  assert.is(objectReplyHeaders(bare)['content-type'], 'text/plain');
  assert.is(objectReplyHeaders({ ...bare, lastModified: 0 })['last-modified'], 'Thu, 01 Jan 1970 00:00:00 GMT');
  assert.is(objectReplyHeaders(bare)['last-modified'], 'Fri, 02 Jan 2026 00:00:00 GMT');
  assert.is(objectReplyHeaders({ ...bare, key: 'a/b.json' })['content-type'], 'application/json');
  assert.is(objectReplyHeaders(bare)['content-type'], 'text/plain');
});

test('nobody adds for one request to what is told of all', () => {
  const headers = plan(remembered()).headers as Record<string, string>;
  assert.throws(() => (headers['x-amz-meta-by'] = 'bert'), TypeError);
});

test('what can be changed is looked at each time', () => {
  const info = { ...remembered(), meta: { etag: 'e-0', headers: {}, user: { by: 'anna' } as Record<string, string> } };
  assert.is(objectReplyHeaders(info)['x-amz-meta-by'], 'anna');
  info.meta.user['by'] = 'bert';
  assert.is(objectReplyHeaders(info)['x-amz-meta-by'], 'bert');
});

test.run();
