// timeout: 600
/**
 * Many users at once, on files whose permissions differ: every request gets what the kernel says to a process of that user,
 * asked before, and nothing else. TIDEGATE_IDENTITY_REQUESTS=100000 makes more of them. Needs root.
 */
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { PutBucketPolicyCommand } from '@aws-sdk/client-s3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isRoot, startTown, type Town } from '../support/people.js';
import { haveProgram } from '../support/programs.js';

const test = suite('identities under load');
const able = isRoot && haveProgram('setfacl') && haveProgram('setpriv');
const asRoot = able ? test : test.skip;

const total = Number(process.env['TIDEGATE_IDENTITY_REQUESTS'] ?? 20_000);
const connections = 24;
const project = 60300;

interface User {
  name: string;
  uid: number;
  gid: number;
  groups: number[];
  key?: { accessKey: string; secretKey: string };
}
const users: User[] = [
  { name: 'anna', uid: 60101, gid: 60101, groups: [60101, project] },
  { name: 'bert', uid: 60102, gid: 60102, groups: [60102, project] },
  { name: 'carl', uid: 60103, gid: 60103, groups: [60103] },
  { name: 'nobody', uid: 65534, gid: 65534, groups: [65534] },
];
const [anna, bert, carl, nobody] = users as [User, User, User, User];

interface Directory {
  name: string;
  owner: User;
  gid: number;
  mode: number;
  acl?: string;
  /** What stands in it from the beginning. */
  file: { owner: User; gid: number; mode: number; acl?: string };
}
const plain = (owner: User, mode: number) => ({ owner, gid: owner.gid, mode });
const directories: Directory[] = [
  { name: 'anna-600', ...plain(anna, 0o755), file: plain(anna, 0o600) },
  { name: 'bert-600', ...plain(bert, 0o755), file: plain(bert, 0o600) },
  { name: 'carl-600', ...plain(carl, 0o755), file: plain(carl, 0o600) },
  { name: 'group-640', ...plain(anna, 0o755), file: { owner: anna, gid: project, mode: 0o640 } },
  { name: 'carl-by-acl', ...plain(anna, 0o755), file: { ...plain(anna, 0o600), acl: `u:${carl.uid}:r` } },
  { name: 'not-bert', ...plain(anna, 0o755), file: { ...plain(anna, 0o644), acl: `u:${bert.uid}:-` } },
  { name: 'shut', ...plain(anna, 0o700), file: plain(anna, 0o644) },
  { name: 'pass', ...plain(bert, 0o711), file: plain(bert, 0o644) },
  { name: 'setgid', owner: anna, gid: project, mode: 0o2770, file: { owner: bert, gid: project, mode: 0o640 } },
  { name: 'open', ...plain(carl, 0o777), file: plain(carl, 0o604) },
  { name: 'sticky', ...plain(anna, 0o1777), file: plain(bert, 0o644) },
  { name: 'acl', ...plain(anna, 0o700), acl: `u:${carl.uid}:rwx,d:u:${carl.uid}:rw`, file: plain(anna, 0o666) },
];
const files = 5;
const contentOf = (bucket: string, key: string) => `SECRET of ${bucket}/${key} `.repeat(40);

function prepare(path: string, bucket: string): void {
  const facl = (entries: string | undefined, at: string) => entries && execFileSync('setfacl', ['-m', entries, at]);
  for (const { name, file, ...dir } of directories) {
    mkdirSync(join(path, name));
    for (let i = 0; i < files; i++) {
      const at = join(path, name, `f${i}`);
      writeFileSync(at, contentOf(bucket, `${name}/f${i}`));
      chownSync(at, file.owner.uid, file.gid);
      chmodSync(at, file.mode);
      facl(file.acl, at);
    }
    chownSync(join(path, name), dir.owner.uid, dir.gid);
    chmodSync(join(path, name), dir.mode);
    facl(dir.acl, join(path, name));
  }
}

/** What a process of the user may do, by directory. */
interface Rights {
  read: boolean;
  list: boolean;
  /** Permissions, uid and gid of a file that it makes there. */
  made: string | undefined;
  /** To put another in the place of the file that stands there. */
  replace: boolean;
}

function askKernel({ uid, gid, groups }: User, path: string): Record<string, Rights> {
  const script = `
    const fs = require('fs');
    const can = (work) => { try { work(); return true; } catch { return false; } };
    const found = {};
    for (const name of ${JSON.stringify(directories.map((each) => each.name))}) {
      const at = process.argv[1] + '/' + name;
      const probe = at + '/probe' + process.getuid();
      let made;
      can(() => {
        fs.closeSync(fs.openSync(probe, 'wx', 0o644));
        const { uid, gid, mode } = fs.statSync(probe);
        made = [uid, gid, (mode & 0o7777).toString(8)].join(':');
      });
      can(() => fs.unlinkSync(probe));
      const replace = can(() => { fs.renameSync(at + '/f0', at + '/f0.away'); fs.renameSync(at + '/f0.away', at + '/f0'); });
      found[name] = { read: can(() => fs.readFileSync(at + '/f0')), list: can(() => fs.readdirSync(at).forEach((f) => fs.statSync(at + '/' + f))), made, replace };
    }
    console.log(JSON.stringify(found));`;
  const who = [`--reuid=${uid}`, `--regid=${gid}`, `--groups=${groups.join(',')}`];
  return JSON.parse(execFileSync('setpriv', [...who, process.execPath, '-e', script, path], { encoding: 'utf8' }));
}

// ---- requests ----------------------------------------------------------------------------------------------------

const agent = new Agent({ keepAlive: true, maxSockets: connections });
let town: Town;

interface Answer {
  status: number;
  body: string;
}

function send(user: User, method: string, path: string, query = '', body?: string): Promise<Answer> {
  const date = new Date().toUTCString();
  const signature =
    user.key && createHmac('sha1', user.key.secretKey).update(`${method}\n\n\n${date}\n${path}`).digest('base64');
  const headers: Record<string, string | number> = { date };
  if (user.key) headers['authorization'] = `AWS ${user.key.accessKey}:${signature}`;
  if (body !== undefined) headers['content-length'] = Buffer.byteLength(body);
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: town.gateway.port, method, path: path + query, headers, agent };
    const sent = request(options, (reply) => {
      let text = '';
      reply.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
      reply.on('end', () => resolve({ status: reply.statusCode!, body: text })).on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** A sequence that is the same in every run. */
function randoms(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface World {
  bucket: string;
  path: string;
  /** Whose rights hold, for each user by name. */
  acting: Record<string, User>;
  rights: Record<string, Record<string, Rights>>;
}

asRoot(
  `${total} mixed requests of ${users.length} users in two buckets: no leak, nothing refused wrongly`,
  async () => {
    const worlds: World[] = [];
    for (const [bucket, actAs] of [
      ['of-owner', 'owner'],
      ['of-requesters', 'requester'],
    ] as const) {
      const path = await town.bucket(bucket, annas!, actAs, others);
      const Statement = [
        { Effect: 'Allow', Principal: '*', Action: 's3:*Object', Resource: `${bucket}/*` },
        { Effect: 'Allow', Principal: '*', Action: 's3:ListBucket', Resource: bucket },
      ];
      const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
      await annas!.client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
      prepare(path, bucket);
      const asked = Object.fromEntries(users.map((user) => [user.name, askKernel(user, path)]));
      const acting = Object.fromEntries(users.map((user) => [user.name, actAs === 'owner' ? anna : user]));
      const rights = Object.fromEntries(users.map(({ name }) => [name, asked[acting[name]!.name]!]));
      worlds.push({ bucket, path, acting, rights });
    }

    const counts: Record<string, number> = {};
    const wrong: string[] = [];
    let leaks = 0;
    const count = (what: string) => (counts[what] = (counts[what] ?? 0) + 1);
    let begun = 0;

    /** One connection's worth of requests. What it writes has names of its own, so that it knows what stands there. */
    const lane = async (number: number): Promise<void> => {
      const random = randoms(number + 1);
      const mine: { world: World; user: User; key: string; body: string }[] = [];
      for (let serial = 0; begun++ < total; serial++) {
        const world = worlds[random(2)]!;
        const user = users[random(users.length)]!;
        const directory = directories[random(directories.length)]!.name;
        const rights = world.rights[user.name]![directory]!;
        const key = `${directory}/f${random(files)}`;
        const path = `/${world.bucket}/${key}`;
        const expect = (
          what: string,
          { status, body }: Answer,
          allowed: boolean,
          good: number,
          extra = true,
        ): boolean => {
          count(`${what} ${allowed ? 'allowed' : 'denied'}`);
          // Whatever the status: bytes of a file that the kernel denies must not be in it.
          if (!allowed && body.includes('SECRET of')) leaks++;
          if (status === (allowed ? good : 403) && extra) return true;
          wrong.push(
            `${what} of ${user.name}, ${path}: ${status} instead of ${allowed ? good : 403}; ${body.slice(0, 300)}`,
          );
          return false;
        };
        const dice = random(100);
        if (dice < 35) {
          const answer = await send(user, 'GET', path);
          expect('GET', answer, rights.read, 200, !rights.read || answer.body === contentOf(world.bucket, key));
        } else if (dice < 50) {
          expect('HEAD', await send(user, 'HEAD', path), rights.read, 200);
        } else if (dice < 62) {
          const answer = await send(user, 'GET', `/${world.bucket}`, `?list-type=2&prefix=${directory}/&max-keys=1000`);
          const listed = [...answer.body.matchAll(/<Key>([^<]*\/f\d+)<\/Key>/g)].map((match) => match[1]);
          const whole = Array.from({ length: files }, (_, i) => `${directory}/f${i}`);
          expect('LIST', answer, rights.list, 200, `${listed}` === `${rights.list ? whole : []}`);
        } else if (dice < 67) {
          const answer = await send(user, 'GET', `/${world.bucket}`, '?list-type=2&max-keys=1000&delimiter=/');
          const listed = [...answer.body.matchAll(/<Prefix>([^<]+)\/<\/Prefix>/g)].map((match) => match[1]);
          const visible = directories.map(({ name }) => name).filter((name) => world.rights[user.name]![name]!.list);
          expect('LIST all', answer, true, 200, `${listed}` === `${visible.sort()}`);
        } else if (dice < 87) {
          const own = `${directory}/w${number}-${serial}`;
          const body = `SECRET of ${user.name} ${own} `.repeat(random(3) === 0 ? 6000 : 3);
          const answer = await send(user, 'PUT', `/${world.bucket}/${own}`, '', body);
          const allowed = rights.made !== undefined;
          const file = join(world.path, own);
          const { uid, gid, mode } = statSync(file, { throwIfNoEntry: false }) ?? {};
          const made = mode === undefined ? undefined : [uid, gid, (mode & 0o7777).toString(8)].join(':');
          if (expect('PUT', answer, allowed, 200, made === rights.made) && allowed)
            mine.push({ world, user, key: own, body });
          else if (made !== rights.made) wrong.push(`${own} of ${user.name}: made as ${made}, not ${rights.made}`);
        } else if (dice < 92 && !rights.replace) {
          // Over what is another's, where he may not.
          const answer = await send(user, 'PUT', path, '', 'SPOILT');
          expect(
            'PUT over',
            answer,
            false,
            200,
            readFileSync(join(world.path, key), 'utf8') === contentOf(world.bucket, key),
          );
        } else if (dice < 95 && !rights.replace) {
          const answer = await send(user, 'DELETE', path);
          expect('DELETE', answer, false, 204, existsSync(join(world.path, key)));
        } else {
          const last = mine.pop();
          if (!last) continue;
          const at = `/${last.world.bucket}/${last.key}`;
          const read = await send(last.user, 'GET', at);
          if (read.body !== last.body)
            wrong.push(`GET of ${last.user.name}, ${at}: ${read.status}, other bytes than he has put`);
          const gone = await send(last.user, 'DELETE', at);
          count('own read and DELETE');
          if (gone.status !== 204 || existsSync(join(last.world.path, last.key)))
            wrong.push(`DELETE of ${last.user.name}, ${at}: ${gone.status} ${gone.body}`);
        }
      }
    };
    const started = performance.now();
    await Promise.all(Array.from({ length: connections }, (_, number) => lane(number)));
    const seconds = (performance.now() - started) / 1000;
    console.log(
      `${total} requests in ${seconds.toFixed(1)} s, ${leaks} leaks, ${wrong.length} wrong: ${JSON.stringify(counts)}`,
    );

    assert.equal(wrong.slice(0, 10), []);
    assert.is(leaks, 0);
    // Enough of both, or nothing was proved.
    for (const what of ['GET', 'HEAD', 'LIST', 'PUT'])
      for (const how of ['allowed', 'denied']) assert.ok(counts[`${what} ${how}`]! > total / 200, `${what} ${how}`);
    for (const what of ['PUT over denied', 'DELETE denied', 'own read and DELETE'])
      assert.ok(counts[what]! > total / 200, what);
    for (const { path } of worlds) {
      const own = join(path, '.tidegate');
      const homes = existsSync(join(own, 'requesters')) ? readdirSync(join(own, 'requesters')) : [];
      for (const dir of [own, ...homes.map((uid) => join(own, 'requesters', uid))])
        if (existsSync(join(dir, 'staging'))) assert.equal(readdirSync(join(dir, 'staging')), []);
    }
    assert.not.match(town.gateway.output(), /"level":"error"/);
  },
);

type Person = Awaited<ReturnType<Town['person']>>;
let annas: Person | undefined;
const others: Person[] = [];
test.before(async () => {
  if (!able) return;
  town = await startTown(['--durability', 'none', '--log-level', 'error']);
  for (const user of users.filter((each) => each !== nobody)) {
    const person = await town.person(user.name, user.uid, user.gid, user.groups);
    user.key = person;
    if (user === anna) annas = person;
    else others.push(person);
  }
});
test.after(async () => {
  agent.destroy();
  await town?.close();
});

test.run();
