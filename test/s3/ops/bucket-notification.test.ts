/** Notification configurations, as the AWS SDK for JavaScript puts and gets them. */
import * as s3 from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NOTIFICATION, unpackNotifications } from '../../../sync/notification.js';
import { element, keys, startStage } from '../../http/stage.js';

const test = suite('s3/ops/bucket-notification');
const sent: { webhook: string; message: Record<string, unknown> }[] = [];
const stage = await startStage({
  testEvent: (webhook, message) => void sent.push({ webhook, message: message as Record<string, unknown> }),
});
const { accessKey: accessKeyId, secret: secretAccessKey } = keys.anna;
const client = new s3.S3Client({
  endpoint: `http://127.0.0.1:${stage.port}`,
  region: 'us-east-1',
  forcePathStyle: true,
  maxAttempts: 1,
  credentials: { accessKeyId, secretAccessKey },
});
test.after(async () => {
  client.destroy();
  await stage.close();
});

const Bucket = 'noted';
await client.send(new s3.CreateBucketCommand({ Bucket }));
for (const name of ['ingest', 'index']) await stage.storage.documents.create('webhooks', name, { name });
const arn = (name: string, service = 'sns') => `arn:aws:${service}:us-east-1:123456789012:${name}`;
const put = (NotificationConfiguration: s3.NotificationConfiguration, SkipDestinationValidation?: boolean) =>
  client.send(
    new s3.PutBucketNotificationConfigurationCommand({ Bucket, NotificationConfiguration, SkipDestinationValidation }),
  );
const get = async () => {
  const { $metadata: _, ...rest } = await client.send(new s3.GetBucketNotificationConfigurationCommand({ Bucket }));
  return rest;
};
const stored = async () => unpackNotifications((await stage.storage.bucket(Bucket))?.config[NOTIFICATION]);
const refused = async (configuration: s3.NotificationConfiguration, code: string, message?: string) => {
  const before = await stored();
  const error = await put(configuration).catch((reason: unknown) => reason);
  assert.instance(error, s3.S3ServiceException);
  const { name, message: said } = error as s3.S3ServiceException;
  assert.is(name, code, said);
  if (message !== undefined) assert.match(said, message);
  assert.equal(await stored(), before, 'nothing is changed');
};
const filter = (prefix?: string, suffix?: string): s3.NotificationConfigurationFilter => ({
  Key: {
    FilterRules: [
      ...(prefix === undefined ? [] : [{ Name: 'prefix' as const, Value: prefix }]),
      ...(suffix === undefined ? [] : [{ Name: 'suffix' as const, Value: suffix }]),
    ],
  },
});
const topic = (Events: s3.Event[], Filter?: s3.NotificationConfigurationFilter): s3.TopicConfiguration => ({
  TopicArn: arn('ingest'),
  Events,
  Filter,
});

test('a bucket without one', async () => {
  assert.equal(await get(), {});
});

test('all three kinds are put, and got as they came', async () => {
  await put({
    TopicConfigurations: [
      { Id: 'a & b', TopicArn: arn('ingest'), Events: ['s3:ObjectCreated:*'], Filter: filter('in/ö ', '.nc') },
    ],
    QueueConfigurations: [
      {
        Id: 'q',
        QueueArn: arn('index', 'sqs'),
        Events: ['s3:ObjectCreated:Put', 's3:ObjectCreated:Copy'],
        Filter: filter('q/'),
      },
    ],
    LambdaFunctionConfigurations: [
      { Id: 'f', LambdaFunctionArn: 'arn:aws:lambda:us-east-1:1:function:ingest', Events: ['s3:ObjectRemoved:Delete'] },
    ],
  });
  const {
    TopicConfigurations: [one] = [],
    QueueConfigurations: [two] = [],
    LambdaFunctionConfigurations: [three] = [],
  } = await get();
  assert.equal([one?.Id, one?.TopicArn, one?.Events], ['a & b', arn('ingest'), ['s3:ObjectCreated:*']]);
  assert.equal(
    one?.Filter?.Key?.FilterRules?.map(({ Name, Value }) => [Name?.toLowerCase(), Value]),
    [
      ['prefix', 'in/ö '],
      ['suffix', '.nc'],
    ],
  );
  assert.equal([two?.QueueArn, two?.Events?.length], [arn('index', 'sqs'), 2]);
  assert.equal([three?.Id, three?.Filter], ['f', undefined]);
  const webhooks = sent.splice(0);
  assert.equal(webhooks.map(({ webhook }) => webhook).sort(), ['index', 'ingest'], 'each webhook hears of it once');
  assert.is(webhooks[0]?.message['Event'], 's3:TestEvent');
  assert.is(webhooks[0]?.message['Bucket'], Bucket);
});

test('putting again replaces; the same one keeps its place in time, with and without an Id', async () => {
  const configuration = { TopicConfigurations: [topic(['s3:ObjectCreated:*'])] };
  await put(configuration, true);
  assert.is(sent.length, 0, 'nobody asked for a test');
  const [first] = await stored();
  await put(configuration);
  const [again] = await stored();
  assert.equal(again, first);
  await put({ TopicConfigurations: [topic(['s3:ObjectRemoved:*'])] });
  assert.is.not((await stored())[0]?.id, first?.id);
  await put({});
  assert.equal(await get(), {});
  assert.is((await stage.storage.bucket(Bucket))?.config[NOTIFICATION], undefined);
});

test('destinations that nobody registered', async () => {
  const message = 'Unable to validate the following destination configurations';
  for (const TopicArn of [
    arn('unknown'),
    'ingest',
    'https://ingest',
    'arn:aws:sns:ingest',
    arn('../ingest'),
    arn(''),
  ]) {
    await refused(
      { TopicConfigurations: [{ ...topic(['s3:ObjectCreated:*']), TopicArn }] },
      'InvalidArgument',
      message,
    );
  }
});

test('events that do not happen here, and filters that are none', async () => {
  for (const event of ['s3:ObjectRestore:*', 's3:ObjectCreated', 's3:*', 'ObjectCreated:*', 's3:objectcreated:*']) {
    await refused({ TopicConfigurations: [topic([event as s3.Event])] }, 'InvalidArgument', 'event is not supported');
  }
  await refused({ TopicConfigurations: [topic([])] }, 'MalformedXML');
  const rules = (...FilterRules: { Name: string; Value: string }[]) => ({
    Key: { FilterRules: FilterRules as s3.FilterRule[] },
  });
  const bad: [s3.NotificationConfigurationFilter, string][] = [
    [rules({ Name: 'infix', Value: 'x' }), 'either prefix or suffix'],
    [rules({ Name: 'prefix', Value: 'x' }, { Name: 'Prefix', Value: 'y' }), 'more than one prefix rule'],
    [rules({ Name: 'suffix', Value: 'x'.repeat(1025) }), 'cannot exceed 1024'],
  ];
  for (const [Filter, message] of bad) {
    await refused({ TopicConfigurations: [topic(['s3:ObjectCreated:*'], Filter)] }, 'InvalidArgument', message);
  }
  await refused({ EventBridgeConfiguration: {} }, 'NotImplemented');
  const Id = 'same';
  await refused(
    {
      TopicConfigurations: [
        { ...topic(['s3:ObjectCreated:*']), Id },
        { ...topic(['s3:ObjectRemoved:*']), Id },
      ],
    },
    'InvalidArgument',
    'IDs must be unique',
  );
  await refused(
    { TopicConfigurations: [{ ...topic(['s3:ObjectCreated:*']), Id: 'i'.repeat(256) }] },
    'InvalidArgument',
  );
});

test('overlapping ones are refused, others are not', async () => {
  const created: s3.Event[] = ['s3:ObjectCreated:*'];
  const both = (a: s3.TopicConfiguration, b: s3.TopicConfiguration) => ({ TopicConfigurations: [a, b] });
  await refused(
    both(topic(created), topic(['s3:ObjectCreated:Put', 's3:ObjectRemoved:*'])),
    'InvalidArgument',
    'cannot share a common event type',
  );
  const ambiguous = 'Cannot have overlapping suffixes in two rules if the prefixes are overlapping';
  for (const [a, b] of [
    [filter('in/'), filter('in/deep/')],
    [filter('in/'), filter(undefined, '.nc')],
    [filter('in/', '.nc'), filter('in/', 'x.nc')],
    [filter('in/'), undefined],
  ]) {
    await refused(both(topic(created, a), topic(created, b)), 'InvalidArgument', ambiguous);
  }
  for (const [a, b] of [
    [filter('in/'), filter('out/')],
    [filter('in/', '.nc'), filter('in/', '.txt')],
    [filter(undefined, '.nc'), filter(undefined, '.txt')],
  ]) {
    await put(both(topic(created, a), topic(created, b)));
  }
  await put(both(topic(['s3:ObjectCreated:Put']), topic(['s3:ObjectCreated:Copy'])));
  assert.is((await stored()).length, 2);
});

test('documents that are none', async () => {
  const url = `/${Bucket}?notification`;
  for (const body of [
    '',
    '<Wrong/>',
    '<NotificationConfiguration><Topic/></NotificationConfiguration>',
    '<NotificationConfiguration><TopicConfiguration><Event>s3:ObjectCreated:*</Event></TopicConfiguration></NotificationConfiguration>',
    `<NotificationConfiguration><TopicConfiguration><Topic>${arn('ingest')}</Topic><Queue>x</Queue></TopicConfiguration></NotificationConfiguration>`,
  ]) {
    const answer = await stage.send(url, { method: 'PUT', body });
    assert.is(element(answer, 'Code'), 'MalformedXML', body);
  }
});

test('whoever does not own the bucket may not', async () => {
  const url = `/${Bucket}?notification`;
  for (const as of ['bert', null] as const) {
    assert.is((await stage.send(url, { as })).status, 403);
    assert.is((await stage.send(url, { as, method: 'PUT', body: '<NotificationConfiguration/>' })).status, 403);
  }
  const Statement = [
    { Effect: 'Allow', Principal: '*', Action: 's3:GetBucketNotification', Resource: `arn:aws:s3:::${Bucket}` },
  ];
  const body = JSON.stringify({ Version: '2012-10-17', Statement });
  assert.is((await stage.send(`/${Bucket}?policy`, { method: 'PUT', body })).status, 204);
  assert.is((await stage.send(url, { as: 'bert' })).status, 200);
});

test.run();
