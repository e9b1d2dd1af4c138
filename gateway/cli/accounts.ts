/** `tidegate account …` and `tidegate group …`. */
import type { Command } from 'commander';
import type { AccountChange } from '../../acl/accounts.js';
import { isName } from '../../acl/accounts.js';
import type { Account } from '../../acl/identity.js';
import type { KeyEntry } from '../../acl/registry.js';
import { Complaint } from '../complaint.js';
import { type Service, withService } from '../main.js';
import type { Actor } from '../storage/types.js';
import { checkFspath, collect, oneOf } from './options.js';
import { parseId, parseIds, personFor, personOf, withGroup } from './person.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { table } from './table.js';

interface AccountOptions extends CommonOptions {
  name?: string;
  group?: string;
  uid?: string;
  gid?: string;
  groups?: string;
  user?: string;
  refresh?: boolean;
  kind?: string;
  fspaths?: string[];
}

const kinds = ['user', 'manager'] as const;

export function addAccountCommands(parent: Command): void {
  const described = (command: Command): Command =>
    command
      .option('--uid <UID>', 'POSIX user that files belong to, as a number')
      .option('--gid <GID>', 'POSIX group that files belong to, as a number')
      .option('--groups <GIDS>', 'supplementary groups as numbers; commas between')
      .option('--user <LOGIN>', 'take uid, gid and groups from the system (also LDAP, SSSD)')
      .option('--kind <KIND>', 'user or manager: managers attach policies to the accounts of their group')
      .option('--fspaths <DIRS>', 'directories that may be published as buckets; commas between', collect);

  example(
    described(subCommand(parent, 'create', 'make an account'))
      .requiredOption('--name <NAME>', 'name of the account; no two have the same')
      .requiredOption('--group <GROUP>', 'group that usage is charged to, and that policies may name')
      .action(async (_: unknown, command: Command) => create(command.optsWithGlobals())),
    'tidegate account create --name alice --group climate --uid 60101 --gid 10 --groups 10,20 --kind user',
    'tidegate account create --name alice --group climate --user alice --fspaths /sqfs/work/climate',
  );
  example(
    subCommand(parent, 'list', 'show the accounts').action(async (_: unknown, command: Command) =>
      list(command.optsWithGlobals()),
    ),
    'tidegate account list --json',
  );
  onAccount(parent, 'show', 'show an account with its keys and buckets', (service, account, options) =>
    printWhole(options, service, account),
  );
  described(
    onAccount(parent, 'update', 'change an account; only what is given changes', update, '--user alice', '--refresh'),
  )
    .option('--name <NAME>', 'another name')
    .option('--group <GROUP>', 'another group')
    .option('--refresh', 'ask the system again for uid, gid and groups of the account’s login');
  onAccount(parent, 'enable', 'let a disabled account work again', (service, account, options) =>
    change(service, account, { enabled: true }, options),
  );
  onAccount(parent, 'disable', 'refuse every request of an account from now on', (service, account, options) =>
    change(service, account, { enabled: false }, options),
  );
  onAccount(parent, 'delete', 'delete an account that owns no buckets, with its keys', remove);
}

/** A sub-command about one account. */
function onAccount(
  parent: Command,
  verb: string,
  description: string,
  action: (service: Service, account: Account, options: AccountOptions) => Promise<void>,
  ...more: string[]
): Command {
  return example(
    subCommand(parent, `${verb} <UUID|NAME>`, description).action(
      async (which: string, _: unknown, command: Command) => {
        const options: AccountOptions = command.optsWithGlobals();
        await withService(options, { make: false }, async (service) =>
          action(service, await service.registry.findAccount(which), options),
        );
      },
    ),
    ...(more.length > 0 ? more : ['']).map((rest) => `tidegate account ${verb} alice ${rest}`.trimEnd()),
  );
}

// ---- showing -----------------------------------------------------------------------------------------------------

const fields = ({ uuid, displayName, group, kind, actor, user, fspaths, enabled, created }: Account) => ({
  uuid,
  name: displayName,
  group,
  kind,
  uid: actor.uid,
  gid: actor.gid,
  groups: actor.groups,
  user: user ?? null,
  fspaths,
  enabled,
  created,
});

const cell = (value: unknown): string => {
  if (Array.isArray(value)) return value.join(',');
  return typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value ?? '');
};

const columns = ['uuid', 'name', 'group', 'kind', 'uid', 'gid', 'groups', 'enabled'] as const;

async function list(options: AccountOptions): Promise<void> {
  await withService(options, { make: false }, async ({ registry }) => {
    const rows = (await registry.accounts()).map(fields).sort((a, b) => (a.created < b.created ? -1 : 1));
    const cells = rows.map((row) => columns.map((name) => cell(row[name])));
    print(options, rows, table(cells, columns));
  });
}

function printOne(options: AccountOptions, row: object): void {
  print(options, row, table(Object.entries(row).map(([name, value]) => [name, cell(value)])));
}

async function printWhole(options: AccountOptions, service: Service, account: Account): Promise<void> {
  const keys = (await keysOf(service, account)).map(({ key }) => key.accessKey);
  const { policies = [], inline = [], memberOf = [] } = account;
  const groups = memberOf.length === 0 ? [] : await service.registry.iam.groups.list(account.group);
  const counts = {
    policies: [...policies, ...inline.map(({ name }) => name)],
    policyGroups: groups.filter(({ id }) => memberOf.includes(id)).map(({ name }) => name),
  };
  printOne(options, { ...fields(account), ...counts, keys, buckets: await bucketsOf(service, account) });
}

const keysOf = async ({ registry }: Service, { uuid }: Account): Promise<KeyEntry[]> =>
  (await registry.list()).filter(({ account }) => account.uuid === uuid);

const bucketsOf = async ({ storage }: Service, { uuid }: Account): Promise<string[]> =>
  (await storage.listBuckets()).filter(({ owner }) => owner === uuid).map(({ name }) => name);

// ---- changing ----------------------------------------------------------------------------------------------------

function checkGroup(group: string): string {
  if (isName(group)) return group;
  throw new Complaint(`--group takes a name of 1 to 64 letters without ':', not ${JSON.stringify(group)}`, 2);
}

/** What the options say about the POSIX identity, beside what the account has. */
async function identityOf(
  options: AccountOptions,
  before?: Actor,
): Promise<{ actor?: Actor; user?: string | undefined }> {
  const { user } = options;
  const uid = options.uid === undefined ? before?.uid : parseId(options.uid, '--uid');
  const gid = options.gid === undefined ? before?.gid : parseId(options.gid, '--gid');
  const groups = options.groups === undefined ? undefined : parseIds(options.groups, '--groups');
  const given = [options.uid, options.gid, options.groups].some((value) => value !== undefined);
  if (user !== undefined) {
    if (given) throw new Complaint('--user takes uid, gid and groups from the system: leave those out', 2);
    return { user, actor: (await personOf(user)).actor };
  }
  if (!given) return {};
  if (uid === undefined || gid === undefined) {
    throw new Complaint('give --uid and --gid together, or --user LOGIN to take both from the system', 2);
  }
  // Another user's groups are not this one's. Those of a uid that the system knows are asked of it.
  const others = groups ?? (options.uid === undefined ? before?.groups : (await personFor({ uid, gid })).actor.groups);
  return { user: undefined, actor: { uid, gid, groups: withGroup(gid, others ?? []) } };
}

async function create(options: AccountOptions): Promise<void> {
  const group = checkGroup(options.group ?? '');
  const { actor, user } = await identityOf(options);
  const wanted = {
    displayName: options.name ?? '',
    group,
    kind: options.kind === undefined ? 'user' : oneOf('--kind', kinds, options.kind),
    actor: actor ?? (await personFor(undefined, group)).actor,
    user,
    fspaths: (options.fspaths ?? []).map(checkFspath),
    unique: true,
  };
  await withService(options, { make: true }, async ({ registry }) => {
    printOne(options, fields(await registry.createAccount(wanted)));
  });
}

async function update(service: Service, account: Account, options: AccountOptions): Promise<void> {
  const { name, group, kind, fspaths, refresh } = options;
  const again = refresh === true && options.user === undefined;
  if (again && account.user === undefined) {
    throw new Complaint(`${account.displayName} was not made from a login: say which with --user LOGIN`);
  }
  const identity = await identityOf(again ? { ...options, user: account.user! } : options, account.actor);
  const values: AccountChange = {
    ...identity,
    ...(name === undefined ? {} : { displayName: name }),
    ...(group === undefined ? {} : { group: checkGroup(group) }),
    ...(kind === undefined ? {} : { kind: oneOf('--kind', kinds, kind) }),
    ...(fspaths === undefined ? {} : { fspaths: fspaths.map(checkFspath) }),
  };
  if (Object.keys(values).length === 0) {
    throw new Complaint("nothing to change: 'tidegate account update --help' shows what can be", 2);
  }
  await change(service, account, values, options);
}

async function change(
  { registry }: Service,
  { uuid }: Account,
  values: AccountChange,
  options: AccountOptions,
): Promise<void> {
  const after = await registry.updateAccount(uuid, values);
  if (after === undefined) throw new Complaint(`there is no account ${uuid} any more`);
  printOne(options, fields(after));
}

async function remove(service: Service, account: Account, options: AccountOptions): Promise<void> {
  const { registry } = service;
  const { uuid, displayName: name, enabled } = account;
  const refuseOwner = async () => {
    const buckets = await bucketsOf(service, account);
    if (buckets.length === 0) return;
    throw new Complaint(`${name} (${uuid}) owns ${buckets.join(', ')}: delete or empty these buckets first`);
  };
  await refuseOwner();
  // From here on no request makes a bucket for it; one that was under way may just have done so.
  await registry.updateAccount(uuid, { enabled: false });
  try {
    await refuseOwner();
  } catch (error) {
    await registry.updateAccount(uuid, { enabled });
    throw error;
  }
  const keys = (await keysOf(service, account)).map(({ key }) => key.accessKey);
  for (const key of keys) await registry.remove(key);
  await registry.removeAccount(uuid);
  print(options, { deleted: uuid, name, keys }, `deleted ${name} (${uuid}) and ${keys.length} keys\n`);
}

// ---- groups ------------------------------------------------------------------------------------------------------

export function addGroupCommands(parent: Command): void {
  const onGroup = (
    verb: string,
    description: string,
    action: (service: Service, name: string, options: CommonOptions) => Promise<void>,
  ) =>
    example(
      subCommand(parent, `${verb} <NAME>`, description).action(async (name: string, _: unknown, command: Command) => {
        const options: CommonOptions = command.optsWithGlobals();
        await withService(options, { make: verb === 'create' }, (service) => action(service, name, options));
      }),
      `tidegate group ${verb} climate`,
    );

  onGroup('create', 'make a group', async ({ registry }, name, options) => {
    printOne(options, { ...(await registry.createGroup(name)), members: [] });
  });
  example(
    subCommand(parent, 'list', 'show the groups, also those that only accounts name').action(
      async (_: unknown, command: Command) => {
        const options: CommonOptions = command.optsWithGlobals();
        await withService(options, { make: false }, async ({ registry }) => {
          const rows = (await registry.groups()).map(groupFields);
          print(
            options,
            rows,
            table(
              rows.map((row) => Object.values(row).map(cell)),
              ['name', 'created', 'members'],
            ),
          );
        });
      },
    ),
    'tidegate group list',
  );
  onGroup('show', 'show a group and its accounts', async ({ registry }, name, options) => {
    const found = (await registry.groups()).find((each) => each.name === name);
    if (found === undefined) throw new Complaint(`there is no group ${name}: 'tidegate group list' shows the groups`);
    printOne(options, groupFields(found));
  });
  onGroup('delete', 'delete a group that no account is in', async ({ registry }, name, options) => {
    await registry.removeGroup(name);
    print(options, { deleted: name }, `deleted group ${name}\n`);
  });
}

const groupFields = ({
  name,
  created,
  members,
}: {
  name: string;
  created: string | undefined;
  members: Account[];
}) => ({
  name,
  created: created ?? null,
  members: members.map(({ displayName }) => displayName),
});
