import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { authenticate } from '../../gateway/auth/authenticate.js';
import { canonicalRequest, sha256Hex, stringToSign } from '../../gateway/auth/sigv4/canonical.js';
import { signature, signingKey } from '../../gateway/auth/sigv4/key.js';
import { parseBasic } from '../../gateway/auth/time.js';
import type { AuthInput } from '../../gateway/auth/types.js';
import { parseTarget } from '../../gateway/http/target.js';
import { wireRequest } from './signer.js';

// Tests run in the project's directory, from wherever they were compiled to.
const read = (name: string) => JSON.parse(readFileSync(`test/fixtures/sigv4/${name}`, 'utf8'));
const vectors = suite('published version 4 vectors');

interface Vector {
  name: string;
  request: string;
  canonical: string;
  stringToSign: string;
  authorization: string;
  normalizes?: true;
}

const secret = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
const scope = { date: '20150830', region: 'us-east-1', service: 'service' };

/** The suite's requests have folded headers, and raw UTF-8 and spaces in the path, as no HTTP parser lets through. */
function parse(text: string) {
  const raw = Buffer.from(text, 'utf8').toString('latin1');
  const [head, body = ''] = raw.split(/\n\n(.*)/s) as [string, string?];
  const [first, ...lines] = head.replace(/\n[ \t]+/g, ' ').split('\n');
  const [, method, url] = /^(\S+) (.*) HTTP\/1\.1$/.exec(first!)!;
  const headers = lines.filter((line) => line !== '').flatMap((line) => line.split(/:(.*)/s).slice(0, 2));
  return {
    request: wireRequest(
      method!,
      url!,
      headers.map((text) => text.replace(/^[ \t]+|[ \t]+$/g, '')),
    ),
    body,
  };
}

const all: Vector[] = read('vectors.json');

vectors('the suite is complete', () => {
  assert.is(all.length, 34);
});

for (const vector of all) {
  vectors(vector.name, () => {
    // The suite adds this one's token with the signature, and not to the request file.
    const token = /^x-amz-security-token:.*$/m.exec(vector.canonical);
    const { request, body } = parse(
      token === null || /token/i.test(vector.request) ? vector.request : `${vector.request}\n${token[0]}`,
    );
    const [, signed, expected] = /SignedHeaders=([^,]*), Signature=(.*)$/.exec(vector.authorization)!;
    const canonical = canonicalRequest({
      method: request.method,
      rawPath: request.rawPath,
      query: request.query,
      headers: request.headers,
      signedHeaders: signed!.split(';'),
      payloadHash: sha256Hex(body),
    });
    const wanted = vector.canonical.split('\n');
    if (vector.normalizes) {
      // S3 signs the path as it is: all but the path must be the suite's, and the path must be untouched.
      const lines = canonical.split('\n');
      assert.is(lines[1], request.rawPath);
      assert.is.not(lines[1], wanted[1]);
      wanted[1] = lines[1]!;
      assert.equal(lines, wanted);
      return;
    }
    assert.equal(canonical.split('\n'), wanted);
    const text = stringToSign('20150830T123600Z', scope, canonical);
    assert.is(text, vector.stringToSign);
    assert.is(signature(signingKey('AKIDEXAMPLE', secret, scope), text), expected);
  });
}

const examples = read('s3-examples.json');
const now = parseBasic(examples.time)!;
const lookup = async (key: string) => (key === examples.accessKey ? examples.secret : undefined);

interface Example {
  name: string;
  method: string;
  url: string;
  headers: Record<string, string>;
  signedHeaders?: string;
  signature?: string;
}

function input(example: Example, at: number, domains: string[]): AuthInput {
  const headers = { ...example.headers };
  if (example.signedHeaders !== undefined) {
    headers['authorization'] =
      `AWS4-HMAC-SHA256 Credential=${examples.accessKey}/20130524/us-east-1/s3/aws4_request,SignedHeaders=${example.signedHeaders},Signature=${example.signature}`;
  } else if (example.signature !== undefined) {
    headers['authorization'] = `AWS ${examples.accessKey}:${example.signature}`;
  }
  const request = wireRequest(example.method, example.url, headers);
  return { request, target: parseTarget(request, domains), headers: request.headers, now: at, lookup };
}

for (const example of examples.v4 as Example[]) {
  vectors(`S3 reference: ${example.name}`, async () => {
    const result = await authenticate(input(example, now, ['s3.amazonaws.com']));
    assert.is(result?.accessKey, examples.accessKey);
    assert.is(result?.scheme, example.signature === undefined ? 'v4-query' : 'v4');
  });
}

for (const example of examples.v2.examples as Example[]) {
  vectors(`S3 reference, version 2: ${example.name}`, async () => {
    const at = Date.parse(example.headers['date']!);
    const result = await authenticate(input(example, at, [examples.v2.bucketDomain]));
    assert.is(result?.scheme, 'v2');
  });
}

for (const kind of ['chunked', 'trailer']) {
  vectors(`S3 reference: ${kind} upload`, async () => {
    const example = examples[kind];
    const result = await authenticate(input(example, now, []));
    const payload = result!.payload;
    if (payload.kind !== 'chunks' || payload.verify === undefined) throw new Error('a chunked payload was expected');
    assert.is(payload.trailer, kind === 'trailer');
    for (const [size, signature] of example.chunks) {
      const digest = Buffer.from(sha256Hex('a'.repeat(size)), 'hex');
      assert.ok(payload.verify.chunk(signature, digest), `chunk of ${size}`);
    }
    if (kind === 'trailer') assert.ok(payload.verify.trailer(example.trailerSignature, `${example.trailerText}\n`));
  });
}

vectors.run();
