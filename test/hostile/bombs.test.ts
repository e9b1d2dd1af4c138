// timeout: 240
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: so look the variables of policies
/** Documents that cost much to read or to ask: each is answered, and other requests do not wait for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKey, type Gateway, type Key, startGateway } from '../support/gateway.js';
import { type Reader, startReader } from './reader.js';
import { type Answer, closeSockets, type Request, send } from './wire.js';

const test = suite('hostile: bombs');
let gateway: Gateway;
let bert: Key;
let reader: Reader;

test.before(async () => {
  gateway = await startGateway({ flags: ['--log-level', 'error', '--durability', 'none'] });
  bert = await createKey(gateway.root, 'other');
  for (const bucket of ['quiet', 'bombed']) {
    await done({ method: 'PUT', url: `/${bucket}` });
    await done({ method: 'PUT', url: `/${bucket}/k`, body: 'content' });
  }
  await done({ method: 'PUT', url: '/quiet/k?acl', headers: { 'x-amz-acl': 'public-read' } });
  reader = await startReader(`${gateway.endpoint}/quiet/k`);
});
test.after(async () => {
  closeSockets();
  await reader?.stop();
  assert.is(await gateway?.stop(), 0);
});

async function done(request: Request): Promise<Answer> {
  const answer = await send(gateway, request);
  assert.ok(answer.status! < 300, `${request.method} ${request.url}: ${answer.text.slice(0, 2000)}`);
  return answer;
}

/** Milliseconds: far below what each of these took, or would take without its bound; far above a busy machine's hiccups. */
const PATIENCE = 500;

/** What the slowest read takes when nothing is wrong: the machine may have other work. */
let ordinary = 0;
test.before.each(async () => {
  await reader.worst();
  await sleep(1000);
  ordinary = await reader.worst();
});

/**
 * Does the work while somebody else reads a small object all the time: none of the reads may have to wait. What blocks does
 * so each time; a machine that is busy with something else does not, so the best of three counts.
 */
async function beside<T>(what: string, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    await reader.worst();
    const result = await work();
    const worst = await reader.worst();
    if (worst < PATIENCE + 4 * ordinary) return result;
    assert.ok(attempt < 3, `${what}: another request waited for ${worst.toFixed(0)} ms`);
  }
}

const Version = '2012-10-17';
const statement = (more: object = {}) => ({
  Effect: 'Allow',
  Principal: '*',
  Action: 's3:*',
  Resource: ['bombed', 'bombed/*'],
  ...more,
});
const document = (...Statement: object[]) => JSON.stringify({ Version, Statement });
const putPolicy = (body: string) => send(gateway, { method: 'PUT', url: '/bombed?policy', body });
const times = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at));

test('policies that are too large, too deep or too many: refused, and the one that stands stays', async () => {
  const standing = document(statement({ Action: 's3:GetObject' }));
  assert.is((await putPolicy(standing)).status, 204);
  const nested = (open: string, close: string, depth: number) =>
    `{"Version":${open.repeat(depth)}1${close.repeat(depth)}}`;
  const bombs: [name: string, body: string][] = [
    ['1 MB of a string', document(statement({ Sid: 'x'.repeat(1_000_000) }))],
    ['1 MB of space', `{${' '.repeat(1_000_000)}}`],
    ['1 MB of statements', document(...times(10_000, () => statement()))],
    ['lists in lists', nested('[', ']', 9000)],
    ['objects in objects', nested('{"a":', '}', 3000)],
    ['never closed', `{"Statement":${'['.repeat(20_000)}`],
    ['300 statements', document(...times(300, () => ({ Effect: 'Deny' })))],
    ['one name twice', `{"Version":"${Version}","Statement":[],"Statement":[]}`],
    ['names of prototypes', `{"Version":"${Version}","__proto__":{"Statement":[]}}`],
    ['a pattern of 3,000 stars', document(statement({ Resource: `bombed/${'*a'.repeat(1500)}` }))],
    ['an action of a thousand stars', document(statement({ Action: `s3:${'*?'.repeat(1000)}` }))],
    ['an unclosed variable', document(statement({ Resource: 'bombed/${aws:username' }))],
    ['a variable in a variable', document(statement({ Resource: 'bombed/${${aws:username}}' }))],
    ['a variable that is none', document(statement({ Resource: 'bombed/${aws:nothing}' }))],
  ];
  for (const [name, body] of bombs) {
    const answer = await beside(name, () => putPolicy(body));
    assert.match(
      answer.code ?? '',
      /^(MalformedPolicy|MaxMessageLengthExceeded)$/,
      `${name}: ${answer.text.slice(0, 500)}`,
    );
  }
  assert.is((await done({ url: '/bombed?policy' })).body, standing);
});

/** Policies of nearly 20 KB that are accepted, and cost as much to ask as can be written into them. */
const costly: [name: string, statements: object[]][] = [
  ['stars', [statement({ Effect: 'Deny', Resource: times(9, (at) => `bombed/${'*a'.repeat(1000)}*b${at}`) })]],
  [
    'stars and question marks',
    [statement({ Effect: 'Deny', Resource: times(9, (at) => `bombed/${'*a?'.repeat(660)}b${at}`) })],
  ],
  ['many statements', times(100, () => statement({ Effect: 'Deny', Resource: 'bombed/*a*a*?a*a*a*b*c' }))],
  [
    'many values',
    [statement({ Effect: 'Deny', Condition: { StringLike: { 'aws:UserAgent': times(900, (at) => `*a?*b?*${at}`) } } })],
  ],
  [
    'variables',
    [
      statement({
        Effect: 'Deny',
        Condition: { StringLike: { 'aws:UserAgent': times(8, (at) => `${'*${aws:Referer}'.repeat(130)}${at}`) } },
      }),
    ],
  ],
  [
    'many principals',
    [statement({ Effect: 'Deny', Principal: { CanonicalUser: times(1000, (at) => `nobody-${at}`) } })],
  ],
  [
    'many addresses',
    [
      statement({
        Effect: 'Deny',
        Condition: { IpAddress: { 'aws:SourceIp': times(900, (at) => `10.${at % 256}.0.0/16`) } },
      }),
    ],
  ],
];

test('policies that cost much to ask: the right answer in bounded time, for one request and for a thousand keys', async () => {
  const key = 'a'.repeat(250);
  const long = times(4, () => key).join('/');
  const headers = { 'user-agent': 'a'.repeat(4000), referer: 'a'.repeat(4000) };
  await done({ method: 'PUT', url: `/bombed/${long}`, body: 'long' });
  const list = `<Delete>${times(1000, (at) => `<Object><Key>${long.slice(0, 1000)}${at}</Key></Object>`).join('')}</Delete>`;
  for (const [name, statements] of costly) {
    const allowing = document(...statements, statement({ Action: 's3:GetObject' }));
    assert.ok(Buffer.byteLength(allowing) < 20 * 1024, `${name}: ${Buffer.byteLength(allowing)}`);
    const stored = await putPolicy(allowing);
    assert.is(stored.status, 204, `${name}: ${stored.text.slice(0, 500)}`);
    await beside(name, async () => {
      for (let at = 0; at < 10; at++) {
        const began = performance.now();
        const answer = await done({ url: `/bombed/${long}`, as: bert, headers });
        assert.is(answer.body, 'long');
        assert.ok(performance.now() - began < 1000 + 4 * ordinary, `${name}: ${performance.now() - began} ms`);
      }
      const deleted = await done({ method: 'POST', url: '/bombed?delete', as: bert, body: list, headers });
      assert.is(deleted.body.match(/<Code>AccessDenied</g)?.length, 1000, name);
    });
  }
  assert.is((await send(gateway, { method: 'DELETE', url: '/bombed?policy' })).status, 204);
});

test('a header too long to be held against a policy is refused, not let through', async () => {
  const Condition = { StringLike: { 'aws:UserAgent': '*evil*' } };
  assert.is((await putPolicy(document(statement(), statement({ Effect: 'Deny', Condition })))).status, 204);
  const ask = (agent: string) => send(gateway, { url: '/bombed/k', as: bert, headers: { 'user-agent': agent } });
  assert.is((await ask('good')).status, 200);
  assert.is((await ask('so evil a thing')).code, 'AccessDenied');
  assert.is((await ask(`${'x'.repeat(5000)}evil`)).code, 'InvalidRequest');
});

test('what a variable stands for is neither a pattern nor a variable', async () => {
  const Condition = { StringLike: { 'aws:Referer': 'x${aws:UserAgent}y' } };
  assert.is((await putPolicy(document(statement({ Condition })))).status, 204);
  const ask = (agent: string, referer: string) =>
    send(gateway, { url: '/bombed/k', as: bert, headers: { 'user-agent': agent, referer } });
  assert.is((await ask('a', 'xay')).status, 200);
  for (const agent of ['*', '?', '${aws:Referer}', '${aws:UserAgent}', 'x${aws:UserAgent}y', '${*}']) {
    assert.is((await ask(agent, `x${agent}y`)).status, 200, agent);
    assert.is((await ask(agent, 'xsomething elsey')).code, 'AccessDenied', agent);
  }
  await done({ method: 'DELETE', url: '/bombed?policy' });
});

test('XML that is large, deep, or grows as it is read', async () => {
  const id = /<UploadId>([^<]+)/.exec((await done({ method: 'POST', url: '/bombed/m?uploads' })).body)?.[1];
  const laughs = times(20, (at) => `<!ENTITY l${at + 1} "${`&l${at};`.repeat(20)}">`).join('');
  const bombs: [name: string, make: (root: string) => string][] = [
    ['entities', (root) => `<!DOCTYPE x [<!ENTITY l0 "ha">${laughs}]><${root}>&l20;</${root}>`],
    ['an external entity', (root) => `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><${root}>&e;</${root}>`],
    ['8 MB of elements', (root) => `<${root}>${'<a/>'.repeat(2_000_000)}</${root}>`],
    ['8 MB of references', (root) => `<${root}>${'&amp;'.repeat(1_600_000)}</${root}>`],
    ['8 MB of attributes', (root) => `<${root} ${times(700_000, (at) => `a${at}=""`).join(' ')}></${root}>`],
    ['8 MB of one attribute', (root) => `<${root} a="${'x'.repeat(8_000_000)}"/>`],
    ['9 MB', (root) => `<${root}>${'x'.repeat(9_000_000)}</${root}>`],
    ['depth', (root) => `<${root}>${'<a>'.repeat(100_000)}`],
  ];
  const targets: [string, string, string][] = [
    ['POST', '/bombed?delete', 'Delete'],
    ['POST', `/bombed/m?uploadId=${id}`, 'CompleteMultipartUpload'],
    ['PUT', '/bombed/k?tagging', 'Tagging'],
    ['PUT', '/bombed?tagging', 'Tagging'],
    ['PUT', '/bombed?acl', 'AccessControlPolicy'],
    ['PUT', '/bombed?ownershipControls', 'OwnershipControls'],
    ['PUT', '/bombed?publicAccessBlock', 'PublicAccessBlockConfiguration'],
    ['PUT', '/new-bucket', 'CreateBucketConfiguration'],
  ];
  for (const [name, make] of bombs) {
    for (const [method, url, root] of targets) {
      const answer = await beside(`${name}, ${url}`, () => send(gateway, { method, url, body: make(root) }));
      const what = `${name}, ${url}: ${answer.text.slice(0, 500)}`;
      assert.not.match(answer.text, 'root:x:', what);
      assert.match(answer.code ?? '', /^(Malformed(XML|ACLError)|MaxMessageLengthExceeded)$/, what);
    }
  }
  assert.is((await send(gateway, { method: 'HEAD', url: '/new-bucket' })).status, 404);
});

test('the longest lists that are right are done', async () => {
  const escaped = (text: string) => [...text].map((char) => `&#x${char.codePointAt(0)!.toString(16)};`).join('');
  const keys = times(
    1000,
    (at) => `${'k'.repeat(200)}/${'k'.repeat(200)}/${String(at).padStart(600, '0').slice(-200)}`,
  );
  const list = `<Delete>${keys.map((key) => `<Object><Key>${escaped(key)}</Key></Object>`).join('')}</Delete>`;
  const answer = await beside('1,000 keys', () => done({ method: 'POST', url: '/bombed?delete', body: list }));
  assert.is(answer.body.match(/<Deleted>/g)?.length, 1000);
  const id = /<UploadId>([^<]+)/.exec((await done({ method: 'POST', url: '/bombed/m?uploads' })).body)?.[1];
  const part = (at: number) =>
    `<Part><PartNumber>${at + 1}</PartNumber><ETag>"${'0'.repeat(32)}"</ETag><ChecksumSHA256>${'A'.repeat(43)}=</ChecksumSHA256></Part>`;
  const body = `<CompleteMultipartUpload>${times(10_000, part).join('')}</CompleteMultipartUpload>`;
  const complete = { method: 'POST', url: `/bombed/m?uploadId=${id}`, body };
  assert.is((await beside('10,000 parts', () => send(gateway, complete))).code, 'InvalidPart');
});

test.run();
