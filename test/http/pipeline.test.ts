/** What requests of every kind have in common, through the whole gateway over the memory store. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { element, type Stage, startStage } from './stage.js';

const test = suite('http/pipeline');

async function staged(
  work: (stage: Stage) => Promise<void>,
  options: Parameters<typeof startStage>[0] = {},
): Promise<void> {
  const stage = await startStage(options);
  try {
    await stage.send('/bkt', { method: 'PUT' });
    await work(stage);
  } finally {
    await stage.close();
  }
}

test('the owner that is expected of the bucket, and of the source of a copy', () =>
  staged(async (stage) => {
    await stage.send('/bkt/src', { method: 'PUT', body: 'x' });
    const owner = (await stage.storage.bucket('bkt'))?.owner ?? '';
    const copy = (header: string, value: string) =>
      stage.send('/bkt/dst', { method: 'PUT', headers: { 'x-amz-copy-source': 'bkt/src', [header]: value } });
    for (const header of ['x-amz-expected-bucket-owner', 'x-amz-source-expected-bucket-owner']) {
      assert.is((await copy(header, 'somebody')).status, 403, header);
      assert.is((await stage.send('/bkt/dst')).status, 404, header);
    }
    for (const header of ['x-amz-expected-bucket-owner', 'x-amz-source-expected-bucket-owner']) {
      assert.is((await copy(header, owner)).status, 200, header);
    }
  }));

test('a copy from nowhere names the source', () =>
  staged(async (stage) => {
    const headers = { 'x-amz-copy-source': 'bkt/none' };
    const reply = await stage.send('/bkt/dst', { method: 'PUT', headers });
    assert.is(element(reply, 'Code'), 'NoSuchKey');
    assert.is(element(reply, 'Key'), 'none');
    assert.is(element(reply, 'Resource'), '/bkt/dst');
  }));

test.run();
