/** What a log may not tell: whoever reads it could do what the sender of the request could. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { presignV2, presignV4 } from '../auth/signer.js';
import { keys, startStage } from '../http/stage.js';

const test = suite('observe/secrets');
const stage = await startStage();
test.after(() => stage.close());

test('the signature of a presigned URL is in no line of the log', async () => {
  const request = { method: 'PUT', headers: { host: `127.0.0.1:${stage.port}` } };
  const urls = [
    presignV4({ ...request, url: '/b?versioning' }, keys.anna, 600),
    presignV4({ ...request, url: '/b/k' }, keys.anna, 600).replace('X-Amz-Signature', 'X-Amz-%53ignature'),
    presignV2({ ...request, url: '/b/k' }, keys.anna, Math.floor(Date.now() / 1000) + 600),
  ];
  await stage.send('/b', { method: 'PUT' });
  for (const url of urls) {
    const answer = await stage.send(url, { method: 'PUT', as: null });
    assert.not.match(answer.body, /SignatureDoesNotMatch/, 'the signature is good');
    const secret = /Signature=([^&]+)/i.exec(decodeURIComponent(url.replace(/%25/g, '')))![1]!;
    const lines = stage.log.map((line) => JSON.stringify(line));
    const told = lines.filter((line) => line.includes('gnature'));
    assert.ok(told.length > 0);
    for (const line of lines) {
      assert.not.ok(line.includes(secret), line);
      assert.not.ok(line.includes(encodeURIComponent(secret)), line);
    }
    // What is no secret is there still.
    assert.match(told.at(-1)!, /\/b[/?].*(X-Amz-Credential|AWSAccessKeyId)=/);
    stage.log.length = 0;
  }
});

test.run();
