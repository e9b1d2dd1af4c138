/** `tidegate bucket set | show` and `tidegate role …`: what the owner of a bucket says outside of S3. */
import type { Command } from 'commander';
import { actAsWords, packActAs, unpackActAs } from '../../acl/act-as.js';
import { type Access, isRange, MAX_RANGES, packAccess, unpackAccess } from '../../acl/addresses.js';
import type { Account } from '../../acl/identity.js';
import { packRoles, type Role, type Roles, unpackRoles } from '../../acl/roles.js';
import { Complaint } from '../complaint.js';
import { type Service, withService } from '../main.js';
import { etagPolicyWords, packEtagPolicy, unpackEtagPolicy } from '../storage/etag-policy.js';
import type { Bucket } from '../storage/types.js';
import { packVisibility, unpackVisibility, visibilityWords } from '../storage/visibility.js';
import { collect, oneOf } from './options.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { table } from './table.js';

interface SettingsOptions extends CommonOptions {
  actAs?: string;
  access?: string;
  cidr?: string[];
  visibility?: string;
  etag?: string;
}

export function addBucketSettingCommands(parent: Command): void {
  example(onBucket(parent, 'show', 'show a bucket with its settings', printBucket), 'tidegate bucket show results');
  example(
    onBucket(
      parent,
      'set',
      'say as whom files are worked on, who sees them, what their ETags are, and from where the bucket can be reached',
      set,
    )
      .option('--act-as <WHO>', 'owner (default) or requester: then the kernel checks the rights of each caller')
      .option(
        '--access <MODE>',
        'public (default): from everywhere; private: from privateNetworks; custom: from --cidr',
      )
      .option(
        '--visibility <WHEN>',
        'live (default): each file at once; synced: uploads at once, files of jobs from a sync on',
      )
      .option(
        '--etag <POLICY>',
        'md5 (default); fast: no MD5 is computed, neither of uploads (unless they come with one) nor of files of jobs. ' +
          'ETags have a "-" then. What is there keeps its ETag',
      )
      .option('--cidr <RANGES>', 'addresses or ranges that reach the bucket; commas between', collect),
    'tidegate bucket set results --act-as requester',
    'tidegate bucket set results --visibility synced',
    'tidegate bucket set scratch --etag fast',
    'tidegate bucket set results --access custom --cidr 192.0.2.0/24,2001:db8::/32',
  );
}

function onBucket<O extends CommonOptions>(
  parent: Command,
  verb: string,
  description: string,
  action: (service: Service, bucket: Bucket, options: O) => Promise<void>,
): Command {
  return subCommand(parent, `${verb} <BUCKET>`, description).action(
    async (name: string, _: unknown, command: Command) => {
      const options: O = command.optsWithGlobals();
      await withService(options, { make: false }, async (service) => {
        const bucket = await service.storage.bucket(name);
        if (bucket === undefined) throw new Complaint(`there is no bucket ${name}: 'tidegate bucket list' shows them`);
        await action(service, bucket, options);
      });
    },
  );
}

/** Kinds of configuration with a line of their own. */
const own = new Set(['actAs', 'access', 'visibility', 'etag']);

async function printBucket({ registry }: Service, bucket: Bucket, options: CommonOptions): Promise<void> {
  const { name, owner, path, created, config } = bucket;
  const access = unpackAccess(config['access']);
  const row = {
    name,
    owner,
    ownerName: (await registry.account(owner))?.displayName ?? null,
    path,
    created,
    actAs: unpackActAs(config['actAs']),
    visibility: unpackVisibility(config['visibility']),
    etag: unpackEtagPolicy(config['etag']),
    // What cannot be read lets nobody in.
    access: access?.mode ?? 'nobody',
    cidr: access?.cidr ?? [],
    /** What else is configured, through S3 or by roles. */
    configured: Object.keys(config)
      .filter((kind) => !own.has(kind))
      .sort(),
  };
  print(options, row, table(Object.entries(row).map(([key, value]) => [key, [value ?? ''].flat().join(',')])));
}

async function set(service: Service, bucket: Bucket, options: SettingsOptions): Promise<void> {
  const actAs = options.actAs === undefined ? undefined : oneOf('--act-as', actAsWords, options.actAs);
  const access = accessOf(options);
  const visibility =
    options.visibility === undefined ? undefined : oneOf('--visibility', visibilityWords, options.visibility);
  const etag = options.etag === undefined ? undefined : oneOf('--etag', etagPolicyWords, options.etag);
  if (actAs === undefined && access === undefined && visibility === undefined && etag === undefined) {
    throw new Complaint("nothing to change: 'tidegate bucket set --help' shows what can be", 2);
  }
  const { storage } = service;
  if (actAs !== undefined) await storage.putConfig(bucket, 'actAs', packActAs(actAs));
  if (access !== undefined) await storage.putConfig(bucket, 'access', packAccess(access));
  if (visibility !== undefined) await storage.putConfig(bucket, 'visibility', packVisibility(visibility));
  if (etag !== undefined) await storage.putConfig(bucket, 'etag', packEtagPolicy(etag));
  await printBucket(service, (await storage.bucket(bucket.name)) ?? bucket, options);
}

function accessOf({ access, cidr }: SettingsOptions): Access | undefined {
  if (access === undefined && cidr === undefined) return undefined;
  const mode = oneOf('--access', ['public', 'private', 'custom'] as const, access ?? 'custom');
  if (mode !== 'custom') {
    if (cidr !== undefined) throw new Complaint(`--cidr belongs to --access custom, not to ${mode}`, 2);
    return { mode };
  }
  const ranges = (cidr ?? []).map((range) => range.trim());
  const bad = ranges.find((range) => !isRange(range));
  if (bad !== undefined || ranges.length === 0 || ranges.length > MAX_RANGES) {
    const what = bad === undefined ? `${ranges.length} of them` : JSON.stringify(bad);
    throw new Complaint(`--cidr takes 1 to ${MAX_RANGES} ranges such as 192.0.2.0/24 or 2001:db8::/32, not ${what}`, 2);
  }
  return { mode, cidr: ranges };
}

// ---- roles -------------------------------------------------------------------------------------------------------

interface RoleOptions extends CommonOptions {
  account?: string;
  role?: string;
}

const words: readonly Role[] = ['maintainer', 'reader', 'writer'];

export function addRoleCommands(parent: Command): void {
  const account: [string, string] = ['--account <UUID|NAME>', 'the account'];
  example(
    onBucket(parent, 'grant', 'give an account a role in a bucket, in place of one that it has', grant)
      .requiredOption(...account)
      .requiredOption('--role <ROLE>', 'reader, writer, or maintainer: everything but deleting the bucket'),
    'tidegate role grant results --account alice --role reader',
  );
  example(
    onBucket(parent, 'revoke', 'take an account its role in a bucket', revoke).requiredOption(...account),
    'tidegate role revoke results --account alice',
  );
  example(onBucket(parent, 'list', 'show who has which role in a bucket', printRoles), 'tidegate role list results');
}

function rolesIn(text: string | undefined, bucket: string): Roles['bindings'] {
  if (text === undefined) return [];
  const roles = unpackRoles(JSON.parse(text));
  if (roles === undefined)
    throw new Complaint(`the roles of bucket ${bucket} are in a form that this version does not know`);
  return roles.bindings;
}

/** Changes the list as it stands at that moment, and shows what came of it. */
async function changeRoles(
  service: Service,
  bucket: Bucket,
  options: RoleOptions,
  change: (bindings: Roles['bindings']) => Roles['bindings'],
): Promise<void> {
  await service.storage.putConfig(bucket, 'roles', (text) => {
    const bindings = change(rolesIn(text, bucket.name));
    return bindings.length === 0 ? undefined : JSON.stringify(packRoles({ bindings }));
  });
  await printRoles(service, (await service.storage.bucket(bucket.name)) ?? bucket, options);
}

async function grant(service: Service, bucket: Bucket, options: RoleOptions): Promise<void> {
  const role = oneOf('--role', words, options.role ?? '');
  const { uuid, displayName } = await service.registry.findAccount(options.account ?? '');
  if (uuid === bucket.owner) throw new Complaint(`${displayName} owns ${bucket.name}, and needs no role in it`);
  await changeRoles(service, bucket, options, (bindings) => [
    ...bindings.filter(({ account }) => account !== uuid),
    { account: uuid, role },
  ]);
}

async function revoke(service: Service, bucket: Bucket, options: RoleOptions): Promise<void> {
  const which = options.account ?? '';
  const has = (uuid: string) => rolesIn(bucket.config['roles'], bucket.name).some(({ account }) => account === uuid);
  // A deleted account has no name any more, and its role can go all the same.
  const uuid = has(which) ? which : (await service.registry.findAccount(which)).uuid;
  if (!has(uuid)) throw new Complaint(`${which} has no role in ${bucket.name}`);
  await changeRoles(service, bucket, options, (bindings) => bindings.filter(({ account }) => account !== uuid));
}

async function printRoles({ registry }: Service, bucket: Bucket, options: CommonOptions): Promise<void> {
  const bindings = rolesIn(bucket.config['roles'], bucket.name);
  const accounts = new Map<string, Account>((await registry.accounts()).map((each) => [each.uuid, each]));
  const rows = bindings.map(({ account, role }) => ({
    account,
    name: accounts.get(account)?.displayName ?? null,
    role,
  }));
  const cells = rows.map(({ account, name, role }) => [account, name ?? '', role]);
  print(options, rows, table(cells, ['account', 'name', 'role']));
}
