import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { droppedMessage, encodeKey, eventMessage, eventRecord } from '../../sync/event-message.js';
import { event } from './changes.js';

const test = suite('sync/event-message');
const context = { bucket: { name: 'results', owner: 'anna' }, region: 'us-east-1', configurationId: 'all' };

test('an upload, member by member', () => {
  const put = event(300, {
    key: 'red flower.jpg',
    time: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    size: 1024,
    etag: 'd41d8cd98f00b204e9800998ecf8427e',
    requester: 'bert',
    sourceIp: '192.0.2.7',
    requestId: 'C3D13FE58DE4C810',
  });
  assert.equal(eventMessage([put], context), {
    Records: [
      {
        eventVersion: '2.1',
        eventSource: 'aws:s3',
        awsRegion: 'us-east-1',
        eventTime: '2026-01-02T03:04:05.678Z',
        eventName: 'ObjectCreated:Put',
        userIdentity: { principalId: 'bert' },
        requestParameters: { sourceIPAddress: '192.0.2.7' },
        responseElements: { 'x-amz-request-id': 'C3D13FE58DE4C810', 'x-amz-id-2': '' },
        s3: {
          s3SchemaVersion: '1.0',
          configurationId: 'all',
          bucket: { name: 'results', ownerIdentity: { principalId: 'anna' }, arn: 'arn:aws:s3:::results' },
          object: {
            key: 'red+flower.jpg',
            size: 1024,
            eTag: 'd41d8cd98f00b204e9800998ecf8427e',
            sequencer: '000000000000012C',
          },
        },
        tidegate: { source: 's3', seq: 300 },
      },
    ],
  });
});

test('a job’s rename, a removal, somebody without a name', () => {
  const { size: _, etag: __, ...bare } = event(7, { name: 'ObjectRemoved:Delete' });
  const removed = eventRecord(bare, context);
  assert.equal(removed.s3.object, { key: 'k7', sequencer: '0000000000000007' });
  assert.is(removed.userIdentity.principalId, 'Anonymous');
  const renamed = eventRecord(event(8, { door: 'filesystem', renamedFrom: 'old name' }), context);
  assert.equal(renamed.tidegate, { source: 'filesystem', seq: 8, renamedFrom: 'old+name' });
  assert.is(renamed.userIdentity.principalId, 'filesystem.tidegate');
  assert.is(renamed.requestParameters.sourceIPAddress, 'filesystem.tidegate');
  assert.ok(renamed.responseElements['x-amz-request-id'] !== '');
});

test('sequencers grow as strings', () => {
  const sequencer = (seq: number) => eventRecord(event(seq, { time: 0 }), context).s3.object.sequencer;
  const numbers = [1, 9, 10, 15, 16, 255, 256, 2 ** 32, Number.MAX_SAFE_INTEGER];
  const strings = numbers.map(sequencer);
  assert.equal(strings.toSorted(), strings);
  assert.is(new Set(strings.map(({ length }) => length)).size, 1);
});

test('keys decode to what they were', () => {
  const keys = ['a/b c/d', '日本語 ファイル+1.txt', "!'()*~-_.", '%41+', '\n\t\x7f', '😀/é', 'a&b=c?d#e'];
  for (const key of keys) {
    const encoded = encodeKey(key);
    assert.match(encoded, /^[A-Za-z0-9\-_.*/+%]*$/);
    assert.is(decodeURIComponent(encoded.replaceAll('+', ' ')), key, encoded);
  }
  assert.is(encodeKey('Foo (1)/ä+~'), 'Foo+%281%29/%C3%A4%2B%7E');
});

test('what was dropped is told by its numbers', () => {
  const message = droppedMessage(context, { from: 5, to: 9 }, 0) as Record<string, unknown>;
  assert.is(message['Event'], 'tidegate:EventsDropped');
  assert.equal([message['Bucket'], message['From'], message['To']], ['results', 5, 9]);
});

test.run();
