/** The operations of the random test: each does something through one door, and says so to the model. */
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import * as s3 from '@aws-sdk/client-s3';
import { keepingTime } from '../support/times.js';
import { type Asked, type Content, contentOf, type Dice, type Model } from './model.js';

export interface Lane {
  /** Everything of this lane is below it: `l3/`. */
  top: string;
  dice: Dice;
  model: Model;
  bucket: string;
  /** The bucket's directory. */
  path: string;
  /** One of the gateways that are up. */
  client(): s3.S3Client;
  /** Resolves when every gateway that was killed is up again. */
  settled(): Promise<void>;
}

type Operation = (lane: Lane) => Promise<void> | void;

const names = ['f0', 'f1', 'f2', 'a.txt', 'ü', 'with space'] as const;
const dirs = ['', 'd0/', 'd1/', 'd0/e/', 'd1/e/f/'] as const;
const anyKey = ({ top, dice }: Lane): string => `${top}${dice.of(dirs)}${dice.of(names)}`;
const present = ({ dice, model }: Lane, marker = false): string | undefined => {
  const keys = [...model.keys.keys()].filter((key) => marker || !key.endsWith('/'));
  return keys.length === 0 ? undefined : dice.of(keys);
};
/** As S3 clients see it. */
const seen = ({ dice, model }: Lane): string | undefined => {
  const keys = [...model.keys].filter(([, { hidden = false }]) => hidden === false);
  return keys.length === 0 ? undefined : dice.of(keys)[0];
};
const fileOf = ({ path }: Lane, key: string): string => join(path, key);

// ---- through S3 --------------------------------------------------------------------------------------------------

/** @returns the answer; undefined when there was none, because the gateway was killed */
async function send<T extends { $metadata: { requestId?: string | undefined } }>(
  lane: Lane,
  work: (client: s3.S3Client) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work(lane.client());
  } catch (error) {
    if (error instanceof s3.S3ServiceException && error.$response) throw error;
    await lane.settled();
    return undefined;
  }
}

/** What stands there after an operation whose outcome nobody was told. It must be the one or the other, whole. */
function found(lane: Lane, key: string, before: Content | undefined, after: Content | undefined): Content | undefined {
  let body: Buffer | undefined;
  try {
    body = key.endsWith('/') ? Buffer.alloc(0) : fs.readFileSync(fileOf(lane, key));
  } catch {
    body = undefined;
  }
  if (key.endsWith('/')) return before ?? after;
  for (const each of [before, after]) if (body && each?.body.equals(body)) return each;
  if (!body && (!before || !after)) return undefined;
  throw new Error(`${key}: neither what was there before nor what was sent`);
}

function settle(lane: Lane, ask: Asked, after: Content | undefined): void {
  const { model } = lane;
  const { key } = ask;
  model.asked.push(ask);
  const before = model.keys.get(key);
  const now = ask.requestId !== undefined ? after : found(lane, key, before, after);
  // A record that was not written any more: then the change may be told as a job's.
  if (ask.requestId === undefined) {
    model.touch(key);
    if (before?.hidden && after?.body.equals(before.body)) before.hidden = 'perhaps';
  }
  if (now) model.set(key, now);
  else model.remove(key);
}

async function put(lane: Lane, key: string, Body: Buffer): Promise<void> {
  const answer = await send(lane, (client) =>
    client.send(new s3.PutObjectCommand({ Bucket: lane.bucket, Key: key, Body })),
  );
  settle(lane, { key, name: 'ObjectCreated:Put', requestId: answer?.$metadata.requestId }, contentOf(Body));
}

const putAny: Operation = (lane) => put(lane, anyKey(lane), lane.dice.body());
const overwrite: Operation = (lane) => put(lane, present(lane) ?? anyKey(lane), lane.dice.body());

const copy: Operation = async (lane) => {
  const source = seen(lane);
  const key = anyKey(lane);
  if (!source || source === key) return;
  const CopySource = encodeURI(`${lane.bucket}/${source}`);
  const answer = await send(lane, (client) =>
    client.send(new s3.CopyObjectCommand({ Bucket: lane.bucket, Key: key, CopySource })),
  );
  const { body, etags } = lane.model.keys.get(source)!;
  settle(
    lane,
    { key, name: 'ObjectCreated:Copy', requestId: answer?.$metadata.requestId },
    { body, etags: new Set(etags) },
  );
};

const multipart: Operation = async (lane) => {
  const key = anyKey(lane);
  const at = { Bucket: lane.bucket, Key: key };
  const started = await send(lane, (client) => client.send(new s3.CreateMultipartUploadCommand(at)));
  if (!started) return;
  const { UploadId } = started;
  const bodies = lane.dice.chance(0.3)
    ? [Buffer.alloc(5 << 20, lane.dice.below(256)), lane.dice.body()]
    : [lane.dice.body()];
  const Parts: s3.CompletedPart[] = [];
  for (const [index, Body] of bodies.entries()) {
    const PartNumber = index * 3 + 1;
    const part = await send(lane, (client) =>
      client.send(new s3.UploadPartCommand({ ...at, UploadId, PartNumber, Body })),
    );
    if (!part) return;
    Parts.push({ PartNumber, ETag: part.ETag! });
  }
  const complete = { ...at, UploadId, MultipartUpload: { Parts } };
  const answer = await send(lane, (client) => client.send(new s3.CompleteMultipartUploadCommand(complete)));
  const body = Buffer.concat(bodies);
  const etag = answer?.ETag?.replaceAll('"', '') ?? '';
  const after = contentOf(body, etag);
  // Nobody was told the ETag, but it is of so many parts.
  if (!answer) after.etags.add(`*-${Parts.length}`);
  settle(lane, { key, name: 'ObjectCreated:CompleteMultipartUpload', requestId: answer?.$metadata.requestId }, after);
};

const remove: Operation = async (lane) => {
  const key = lane.dice.chance(0.85) ? present(lane, true) : anyKey(lane);
  if (!key) return;
  const was = lane.model.keys.has(key);
  const answer = await send(lane, (client) =>
    client.send(new s3.DeleteObjectCommand({ Bucket: lane.bucket, Key: key })),
  );
  if (!was) return;
  settle(lane, { key, name: 'ObjectRemoved:Delete', requestId: answer?.$metadata.requestId }, undefined);
};

const removeMany: Operation = async (lane) => {
  const keys = [...new Set([present(lane), present(lane), anyKey(lane)])].filter((key) => key !== undefined);
  const was = keys.filter((key) => lane.model.keys.has(key));
  const Delete = { Objects: keys.map((Key) => ({ Key })) };
  const answer = await send(lane, (client) =>
    client.send(new s3.DeleteObjectsCommand({ Bucket: lane.bucket, Delete })),
  );
  if (answer?.Errors?.length) throw new Error(`DeleteObjects: ${JSON.stringify(answer.Errors)}`);
  for (const key of was)
    settle(lane, { key, name: 'ObjectRemoved:Delete', requestId: answer?.$metadata.requestId }, undefined);
};

const tag: Operation = async (lane) => {
  const key = seen(lane);
  if (!key) return;
  const Tagging = { TagSet: [{ Key: 'n', Value: `${lane.dice.below(9)}` }] };
  await send(lane, (client) => client.send(new s3.PutObjectTaggingCommand({ Bucket: lane.bucket, Key: key, Tagging })));
};

const get: Operation = async (lane) => {
  const key = seen(lane);
  if (!key) return;
  const answer = await send(lane, async (client) => {
    const got = await client.send(new s3.GetObjectCommand({ Bucket: lane.bucket, Key: key }));
    return { ...got, bytes: Buffer.from(await got.Body!.transformToByteArray()) };
  });
  if (!answer) return;
  const { body, etags } = lane.model.keys.get(key)!;
  if (!answer.bytes.equals(body)) throw new Error(`${key}: GET has other bytes than were written`);
  const etag = answer.ETag!.replaceAll('"', '');
  if (!etag.endsWith('-0') && !isOf(etags, etag))
    throw new Error(`${key}: GET has the ETag ${etag}, not ${[...etags]}`);
};

export const isOf = (etags: ReadonlySet<string>, etag: string): boolean =>
  etags.has(etag) || etags.has(`*${etag.slice(32)}`);

// ---- through the filesystem --------------------------------------------------------------------------------------

const writeTo = (lane: Lane, key: string, body: Buffer): void => {
  fs.mkdirSync(dirname(fileOf(lane, key)), { recursive: true });
  fs.writeFileSync(fileOf(lane, key), body);
  // In place, where it is there: all its names.
  if (lane.model.keys.has(key)) lane.model.rewrite(key, body);
  else {
    lane.model.set(key, lane.model.written(body));
    lane.model.touch(key);
  }
};

const create: Operation = (lane) => writeTo(lane, anyKey(lane), lane.dice.body());

const change = (work: (lane: Lane, key: string, body: Buffer) => Buffer): Operation => {
  return (lane) => {
    const key = present(lane);
    if (key) lane.model.rewrite(key, work(lane, key, lane.model.keys.get(key)!.body));
  };
};
/** The same size: only the times tell, and not even those where the clock ticks slowly. */
const inPlace = change((lane, key, before) => {
  const body = Buffer.from(before.map((byte) => byte ^ 1));
  const fd = fs.openSync(fileOf(lane, key), 'r+');
  fs.writeSync(fd, body);
  fs.closeSync(fd);
  return body;
});
const append = change((lane, key, before) => {
  const more = lane.dice.body();
  fs.appendFileSync(fileOf(lane, key), more);
  return Buffer.concat([before, more]);
});
const truncate = change((lane, key, before) => {
  const body = before.subarray(0, lane.dice.below(before.length + 1));
  fs.truncateSync(fileOf(lane, key), body.length);
  return body;
});
const touch = change((lane, key, before) => {
  const time = new Date(1_600_000_000_000 + lane.dice.below(1e9));
  fs.utimesSync(fileOf(lane, key), time, time);
  return before;
});
/** As `touch -r` after an overwrite: neither size nor mtime tell. */
const stealthy = change((lane, key, before) => {
  const body = Buffer.from(before.map((byte) => byte ^ 2));
  keepingTime(fileOf(lane, key), () => fs.writeFileSync(fileOf(lane, key), body));
  // Two changes, and between them there may be a look.
  lane.model.touch(key);
  return body;
});

const chmod: Operation = (lane) => {
  const key = present(lane);
  if (key) fs.chmodSync(fileOf(lane, key), lane.dice.of([0o600, 0o644, 0o640]));
};

const renameFile: Operation = (lane) => {
  const from = present(lane);
  const to = anyKey(lane);
  if (!from || from === to) return;
  const { model } = lane;
  fs.mkdirSync(dirname(fileOf(lane, to)), { recursive: true });
  fs.renameSync(fileOf(lane, from), fileOf(lane, to));
  const content = model.keys.get(from)!;
  // Two names of one file: nothing happens.
  if (model.keys.get(to) === content) return;
  model.touch(to);
  model.touch(from);
  model.remove(from);
  model.set(to, content);
};

/** As editors do it. */
const replace: Operation = (lane) => {
  const key = present(lane);
  if (!key) return;
  const body = lane.dice.body();
  fs.writeFileSync(`${lane.path}/${lane.top}.new`, body);
  fs.renameSync(`${lane.path}/${lane.top}.new`, fileOf(lane, key));
  // The name it had for a moment.
  lane.model.touch(`${lane.top}.new`);
  lane.model.touch(`${lane.top}.new`);
  lane.model.touch(key);
  lane.model.set(key, lane.model.written(body));
};

const link: Operation = (lane) => {
  const from = present(lane);
  const to = anyKey(lane);
  if (!from || lane.model.keys.has(to)) return;
  fs.mkdirSync(dirname(fileOf(lane, to)), { recursive: true });
  fs.linkSync(fileOf(lane, from), fileOf(lane, to));
  lane.model.set(to, lane.model.keys.get(from)!);
  lane.model.touch(to);
};

const unlink: Operation = (lane) => {
  const key = present(lane);
  if (!key) return;
  fs.unlinkSync(fileOf(lane, key));
  lane.model.touch(key);
  lane.model.remove(key);
};

const dropTree = (lane: Lane, dir: string): void => {
  fs.rmSync(fileOf(lane, dir), { recursive: true, force: true });
  for (const key of lane.model.below(dir)) {
    lane.model.touch(key);
    lane.model.remove(key);
  }
};
const removeTree: Operation = (lane) => {
  if (lane.dice.chance(0.5)) dropTree(lane, `${lane.top}${lane.dice.of(dirs.slice(1))}`);
};

const renameTree: Operation = (lane) => {
  const { model, dice, top } = lane;
  const [from, to] = [`${top}${dice.of(dirs.slice(1))}`, `${top}${dice.of(dirs.slice(1))}`];
  if (from.startsWith(to) || to.startsWith(from) || !fs.existsSync(fileOf(lane, from))) return;
  dropTree(lane, to);
  fs.mkdirSync(dirname(fileOf(lane, to)), { recursive: true });
  fs.renameSync(fileOf(lane, from), fileOf(lane, to));
  for (const key of model.below(from)) {
    const moved = to + key.slice(from.length);
    const content = model.keys.get(key)!;
    model.touch(key);
    model.remove(key);
    model.set(moved, content);
    model.touched.set(moved, (model.touched.get(moved) ?? 0) + 1);
  }
};

const makeTree: Operation = (lane) => {
  fs.mkdirSync(fileOf(lane, `${lane.top}${lane.dice.of(dirs)}`), { recursive: true });
};

/** With how often they come. */
const operations: readonly (readonly [Operation, number])[] = [
  [putAny, 16],
  [overwrite, 6],
  [copy, 6],
  [multipart, 2],
  [remove, 8],
  [removeMany, 3],
  [tag, 3],
  [get, 6],
  [create, 14],
  [inPlace, 5],
  [append, 5],
  [truncate, 3],
  [touch, 3],
  [stealthy, 3],
  [chmod, 3],
  [renameFile, 6],
  [replace, 4],
  [link, 3],
  [unlink, 6],
  [removeTree, 1],
  [renameTree, 2],
  [makeTree, 2],
];
const all = operations.flatMap(([operation, weight]) => Array.from({ length: weight }, () => operation));

/** One operation. The same seed gives the same ones, as long as nothing is killed half-way. */
export async function operate(lane: Lane): Promise<void> {
  const operation = lane.dice.of(all);
  try {
    await operation(lane);
  } catch (error) {
    throw new Error(`${operation.name || 'a change in place'} in ${lane.top}: ${error}`, { cause: error });
  }
}
