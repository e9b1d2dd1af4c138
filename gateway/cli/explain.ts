/** `tidegate explain`: may this key do that, and which statement or grant says so. */
import type { Command } from 'commander';
import { unpackActAs } from '../../acl/act-as.js';
import { createAddresses } from '../../acl/addresses.js';
import { authorize, type Decision } from '../../acl/authorize.js';
import type { IamDecision } from '../../acl/iam/authorize.js';
import { type Account, anonymous, type Identity } from '../../acl/identity.js';
import { accountActionsByLowerCase } from '../../acl/policy/actions.js';
import { plainAddress } from '../../acl/policy/address.js';
import { EXISTING_TAG, REQUEST_TAG } from '../../acl/policy/condition-keys.js';
import { contextOf } from '../../acl/policy/context.js';
import { type Context, type Policy, resourceArn } from '../../acl/policy/types.js';
import { Complaint } from '../complaint.js';
import type { Config } from '../config.js';
import { S3Error } from '../errors.js';
import { type Service, withService } from '../main.js';
import { accessOf, readAcl } from '../s3/access.js';
import type { Bucket, ObjectInfo } from '../storage/types.js';
import { decideIam } from './explain-iam.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { table } from './table.js';

interface ExplainOptions extends CommonOptions {
  key?: string;
  action?: string;
  resource?: string;
  ip?: string;
  context?: string[];
}

export function addExplainCommand(program: Command): void {
  example(
    subCommand(program, 'explain', 'tell whether a key may do something, and which statement or grant says so')
      .option('--key <ACCESSKEY>', 'whose request (default: an anonymous one)')
      .requiredOption('--action <ACTION>', 'such as s3:GetObject or iam:CreateUser')
      .requiredOption(
        '--resource <BUCKET[/KEY]>',
        'the bucket or object, also as an ARN; of iam: actions user/NAME and the like',
      )
      .option('--ip <ADDRESS>', 'where the request comes from (default: lists of addresses are not asked)')
      .option(
        '--context <KEY=VALUE>',
        'a condition key of the request, such as s3:prefix=a/; repeatable',
        (value, all: string[] = []) => [...all, value],
      )
      .action(async (_: unknown, command: Command) => explain(command.optsWithGlobals())),
    'tidegate explain --key AKIAABCDEFGHIJKLMNOP --action s3:GetObject --resource results/a.nc --ip 192.0.2.7',
    'tidegate explain --key AKIAABCDEFGHIJKLMNOP --action iam:CreateAccessKey --resource user/carl',
  );
}

/** What is decided before anybody asks for permissions. */
type Verdict = Omit<Decision, 'by'> & { by: Decision['by'] | IamDecision['by'] | 'address' | 'key' };

async function explain(options: ExplainOptions): Promise<void> {
  const action = actionOf(options.action ?? '');
  const client = options.ip === undefined ? undefined : addressOf(options.ip);
  const given = (options.context ?? []).map(pairOf);
  await withService(options, { make: false }, async (service) => {
    const { identity, closed } = await identityOf(service, options.key);
    if (action.startsWith('iam:')) {
      const asked = {
        identity,
        action,
        resource: options.resource ?? '',
        context: contextFrom(client, given, undefined),
      };
      const { resource, decision } = await decideIam(service, asked);
      const refused = client === undefined ? undefined : byAddress(service.config, undefined, client);
      return show(options, refused ?? closed ?? decision, { action, resource, identity });
    }
    const { bucket: name, key } = resourceOf(options.resource ?? '');
    const bucket = await service.storage.bucket(name);
    const aboutNew = action === 's3:CreateBucket' || action === 's3:ListAllMyBuckets';
    if (bucket === undefined && !aboutNew) throw new Complaint(`there is no bucket ${name}`);
    const owner = bucket && (await service.registry.account(bucket.owner));
    const object = bucket && owner && key !== undefined ? await objectAt(service, bucket, owner, key) : undefined;
    const identityPolicies = identity.account ? await service.registry.iam.policiesOf(identity.account) : [];
    const place = aboutNew ? undefined : bucket;
    const question = { identity, identityPolicies, action, name, key, bucket: place, owner, object };
    const verdict =
      (client === undefined ? undefined : byAddress(service.config, bucket, client)) ??
      closed ??
      decide({ ...question, context: contextFrom(client, given, object) });
    show(options, verdict, {
      action,
      resource: resourceArn({ bucket: name, key }),
      identity,
      bucket,
      owner,
      object,
      key,
    });
  });
}

// ---- the question ------------------------------------------------------------------------------------------------

function actionOf(text: string): string {
  const lower = text.toLowerCase();
  const found = accountActionsByLowerCase.get(lower) ?? accountActionsByLowerCase.get(`s3:${lower}`);
  if (found === undefined)
    throw new Complaint(`there is no action ${JSON.stringify(text)}: say one such as s3:GetObject`, 2);
  return found;
}

function resourceOf(text: string): { bucket: string; key: string | undefined } {
  const plain = text.replace(/^arn:aws:s3:::/, '').replace(/^s3:\/\//, '');
  const [, bucket, key] = /^([^/]+)(?:\/(.*))?$/s.exec(plain) ?? [];
  if (bucket === undefined)
    throw new Complaint(`--resource takes BUCKET or BUCKET/KEY, not ${JSON.stringify(text)}`, 2);
  return { bucket, key: key || undefined };
}

function addressOf(text: string): string {
  if (createAddresses({ allowFrom: ['0.0.0.0/0', '::/0'] }).served(text)) return plainAddress(text);
  throw new Complaint(`--ip takes an address, not ${JSON.stringify(text)}`, 2);
}

function pairOf(text: string): [key: string, value: string] {
  const at = text.indexOf('=');
  if (at < 1) throw new Complaint(`--context takes KEY=VALUE, not ${JSON.stringify(text)}`, 2);
  const key = text.slice(0, at);
  const lower = key.toLowerCase();
  // Tags differ by case, the keys of conditions do not.
  const tag = [EXISTING_TAG, REQUEST_TAG].find((prefix) => lower.startsWith(prefix));
  return [tag === undefined ? lower : tag + key.slice(tag.length), text.slice(at + 1)];
}

async function identityOf(
  { registry }: Service,
  key: string | undefined,
): Promise<{ identity: Identity; closed?: Verdict }> {
  if (key === undefined) return { identity: anonymous };
  const entry = await registry.find(key);
  if (entry === undefined) throw new Complaint(`there is no access key ${key}: 'tidegate key list' shows the keys`);
  const { account } = entry;
  const identity = { account, accessKey: key };
  const off = !entry.key.enabled ? 'the access key' : !account.enabled ? 'the account' : undefined;
  if (off === undefined) return { identity };
  return { identity, closed: { allow: false, by: 'key', reason: `every request is refused: ${off} is disabled` } };
}

async function objectAt(
  { storage }: Service,
  bucket: Bucket,
  owner: Account,
  key: string,
): Promise<ObjectInfo | undefined> {
  try {
    return await storage.head({ bucket, actor: owner.actor }, key);
  } catch (error) {
    if (error instanceof S3Error && error.code === 'NoSuchKey') return undefined;
    throw error;
  }
}

function contextFrom(client: string | undefined, given: [string, string][], object: ObjectInfo | undefined): Context {
  const facts = contextOf({
    sourceIp: client,
    now: Date.now(),
    secure: true,
    header: () => undefined,
    query: () => undefined,
    existingTags: object?.meta.tags,
  });
  const values = new Map<string, string[]>();
  for (const [key, value] of given) values.set(key, [...(values.get(key) ?? []), value]);
  return { get: (key) => values.get(key) ?? facts.get(key) };
}

// ---- the answer --------------------------------------------------------------------------------------------------

function byAddress(config: Config, bucket: Bucket | undefined, client: string): Verdict | undefined {
  const { served, reaches } = createAddresses(config);
  const refused = !served(client)
    ? 'the gateway is (allowFrom)'
    : bucket && !reaches(bucket.config['access'], client)
      ? `bucket ${bucket.name} is (its access mode)`
      : undefined;
  return refused === undefined
    ? undefined
    : { allow: false, by: 'address', reason: `every request is refused: ${refused} not reached from ${client}` };
}

interface Asked {
  identity: Identity;
  /** Of its account. */
  identityPolicies: readonly Policy[];
  action: string;
  name: string;
  key: string | undefined;
  bucket: Bucket | undefined;
  owner: Account | undefined;
  object: ObjectInfo | undefined;
  context: Context;
}

/** From the documents that a request would go by. */
function decide({ identity, identityPolicies, action, name, key, bucket, owner, object, context }: Asked): Decision {
  const access = bucket && accessOf(bucket);
  const objectOwner = object && bucket && (object.meta.owner ?? bucket.owner);
  const acl = object?.meta.acl;
  return authorize({
    identity,
    action,
    resource: { bucket: name, key },
    bucketOwner: bucket?.owner,
    bucketOwnerAccount: owner,
    objectOwner,
    context,
    documents: {
      ...access,
      identityPolicies,
      objectAcl: acl === undefined || !objectOwner ? undefined : readAcl(acl, objectOwner),
    },
  });
}

/** The last four: not of IAM. */
interface About {
  action: string;
  resource: string;
  identity: Identity;
  bucket?: Bucket | undefined;
  owner?: Account | undefined;
  object?: ObjectInfo | undefined;
  key?: string | undefined;
}

function show(options: ExplainOptions, verdict: Verdict, about: About): void {
  const { allow, by, reason, statement, grant } = verdict;
  const { action, resource, identity, bucket, owner, object, key } = about;
  const account = identity.account?.uuid ?? null;
  const actor = bucket && unpackActAs(bucket.config['actAs']) === 'requester' ? identity.account?.actor : owner?.actor;
  const files = actor === undefined ? null : `${actor.uid}:${actor.gid}`;
  const answer = { allow, by, reason, statement: statement ?? null, grant: grant ?? null };
  const where = { action, resource, account, objectExists: key === undefined ? null : object !== undefined };
  const rows = [
    ['decision', allow ? 'allowed' : 'denied'],
    ['by', by],
    ['why', reason],
    ...(statement
      ? [['statement', `${statement.document} ${statement.index + 1} ${statement.sid ?? ''}`.trimEnd()]]
      : []),
    ...(grant ? [['grant', `${grant.permission} to ${grant.grantee.group ?? grant.grantee.id}`]] : []),
    ...(where.objectExists === false
      ? [['object', 'there is none: without an ACL of its own only its owner is asked for']]
      : []),
    ...(allow && files !== null ? [['files', `the kernel decides too, as ${files}`]] : []),
  ];
  print(options, { ...answer, ...where, files }, table(rows));
}
