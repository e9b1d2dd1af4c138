/** What is remembered of an Authorization header is not taken for more than it says. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAuthorization } from '../../gateway/auth/sigv4/header.js';
import type { S3Error } from '../../gateway/errors.js';

const test = suite('auth: Authorization header');

const credential = (key: string, service = 's3') => `Credential=${key}/20261123/us-east-1/${service}/aws4_request`;
const header = (...components: string[]) => `AWS4-HMAC-SHA256 ${components.join(', ')}`;
const malformed = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    assert.is((error as S3Error).code, 'AuthorizationHeaderMalformed');
    return;
  }
  throw new Error('it was taken');
};

test('each has its own key, headers and signature, the second time as the first', () => {
  for (let times = 0; times < 2; times++) {
    for (const key of ['AKIDONE', 'AKIDTWO']) {
      for (const list of ['host', 'Host;x-amz-date']) {
        for (const signature of ['aa', 'bb']) {
          const parsed = parseAuthorization(header(credential(key), `SignedHeaders=${list}`, `Signature=${signature}`));
          assert.is(parsed.credential.accessKey, key);
          assert.equal(parsed.signedHeaders, list.toLowerCase().split(';'));
          assert.is(parsed.signature, signature);
        }
      }
    }
  }
});

test('a credential that is good for one service is none for another', () => {
  const forS3 = header(credential('AKIDS3'), 'SignedHeaders=host', 'Signature=aa');
  const forIam = header(credential('AKIDS3', 'iam'), 'SignedHeaders=host', 'Signature=aa');
  for (let times = 0; times < 2; times++) {
    assert.is(parseAuthorization(forS3).credential.service, 's3');
    assert.is(parseAuthorization(forIam, 'iam').credential.service, 'iam');
    malformed(() => parseAuthorization(forS3, 'iam'));
    malformed(() => parseAuthorization(forIam));
  }
});

test('the order of the components is any, and what stands behind the signature belongs to nobody else', () => {
  const parts = ['Signature=aa', credential('AKIDFIRST'), 'SignedHeaders=host'];
  for (let times = 0; times < 2; times++) {
    assert.is(parseAuthorization(header(...parts)).credential.accessKey, 'AKIDFIRST');
    malformed(() => parseAuthorization(header('Signature=aa')));
    const doubled = parseAuthorization(header(credential('AKIDX'), 'SignedHeaders=host', 'Signature=Signature=aa'));
    assert.is(doubled.signature, 'Signature=aa');
  }
});

test('so many that none of them can be remembered are told apart all the same', () => {
  for (let times = 0; times < 2; times++) {
    for (let n = 0; n < 3_000; n++) {
      const { credential: found, signature } = parseAuthorization(
        header(credential(`AKID${n}`), 'SignedHeaders=host', `Signature=${n}`),
      );
      assert.is(found.accessKey, `AKID${n}`);
      assert.is(signature, `${n}`);
    }
  }
});

test.run();
