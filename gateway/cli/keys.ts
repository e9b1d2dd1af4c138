/** `s3dskey …`, and the same as `tidegate key …`. */
import type { Command } from 'commander';
import { isName } from '../../acl/accounts.js';
import type { KeyEntry } from '../../acl/registry.js';
import { Complaint } from '../complaint.js';
import { withService } from '../main.js';
import type { Actor } from '../storage/types.js';
import { checkFspath, collect } from './options.js';
import { parseFsuid, parseIds, personFor, warningOf, withGroup } from './person.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { table } from './table.js';

interface KeyOptions extends CommonOptions {
  key?: string;
  group?: string;
  fsuid?: string;
  fspaths?: string[];
  groups?: string;
  account?: string;
  showSecrets?: boolean;
}

/** The columns of S3DS, in its order. */
const columns = ['accesskey', 'enabled', 'fspaths', 'fsuid', 'secretkey', 'tag', 'uuid'] as const;

/** What stands for a secret that is not shown. */
const hidden = '**';

const fields = ({ key, account }: KeyEntry, secret: string = hidden) => ({
  accesskey: key.accessKey,
  enabled: key.enabled && account.enabled,
  fspaths: account.fspaths,
  fsuid: `${account.actor.uid}:${account.actor.gid}`,
  secretkey: secret,
  tag: key.tag,
  uuid: account.uuid,
});
type Fields = ReturnType<typeof fields>;

/** S3DS is written in Python and prints its `True`, `False` and `None`. */
const cells = (row: Fields): string[] =>
  columns.map((name) => {
    const value = row[name];
    if (Array.isArray(value)) return value.length === 0 ? 'None' : value.join(',');
    return typeof value === 'boolean' ? (value ? 'True' : 'False') : value;
  });

function printOne(options: KeyOptions, row: Fields): void {
  const values = cells(row);
  print(options, row, table(columns.map((name, index) => [name, values[index]!])));
}

/** `name`: what the user types before the sub-command, for the examples. */
export function addKeyCommands(parent: Command, name: string): void {
  example(
    subCommand(parent, 'create', 'make an account with an access key; the secret is shown this once')
      .option('--group <GROUP>', 'group that usage is charged to; needed for a new account')
      .option('--fsuid <UID:GID>', 'POSIX user and group that files belong to (default: you, also under sudo)')
      .option('--groups <GIDS>', 'supplementary groups as numbers; commas between (default: as the system has them)')
      .option('--fspaths <DIRS>', 'directories that may be published as buckets; commas between', collect)
      .option('--account <UUID|NAME>', 'a further key for this account, instead of a new account')
      .action(async (_: unknown, command: Command) => {
        const options: KeyOptions = command.optsWithGlobals();
        if (options.account !== undefined) return createFurther(options);
        if (options.group === undefined) command.error("error: required option '--group <GROUP>' not specified");
        return create(options);
      }),
    `${name} create --group=hpc01`,
    `sudo ${name} create --root /sqfs/s3 --group=hpc01 --fsuid 60101:10 --fspaths /sqfs/work/hpc01`,
  );

  example(
    subCommand(parent, 'list', 'show the access keys')
      // A list is what people paste into tickets: secrets only on demand.
      .option('--account <UUID|NAME>', 'only those of this account')
      .option('--show-secrets', `show the secrets too, instead of ${hidden}`)
      .action(async (_: unknown, command: Command) => list(command.optsWithGlobals())),
    `${name} list --json`,
  );

  const onKey = (verb: string, description: string, action: (options: KeyOptions, key: string) => Promise<void>) =>
    example(
      subCommand(parent, `${verb} [ACCESSKEY]`, description)
        .option('-k, --key <ACCESSKEY>', 'the same as the argument')
        .action(async (argument: string | undefined, _: unknown, command: Command) => {
          const options: KeyOptions = command.optsWithGlobals();
          const key = argument ?? options.key;
          if (key === undefined || (argument !== undefined && options.key !== undefined && options.key !== argument)) {
            throw new Complaint(`say which key: ${name} ${verb} ACCESSKEY ('${name} list' shows them)`, 2);
          }
          await action(options, key);
        }),
      `${name} ${verb} AKIAABCDEFGHIJKLMNOP`,
    );

  onKey('enable', 'let a disabled key work again', (options, key) => setEnabled(options, key, true));
  onKey('disable', 'refuse every request of a key from now on', (options, key) => setEnabled(options, key, false));
  onKey('reset', 'give a key a new secret, shown this once; the old one is dead at once', reset);
  onKey('rotate', 'make a new key in place of one, with a new secret, shown this once; the old one is dead', rotate);
  onKey('delete', 'revoke a key for good; buckets and files stay', remove);
}

const missing = (key: string) => new Complaint(`there is no access key ${key}: 'list' shows the keys of this root`);

async function create(options: KeyOptions): Promise<void> {
  const group = options.group ?? '';
  if (!isName(group)) {
    throw new Complaint(`--group takes a name of 1 to 64 letters without ':', not ${JSON.stringify(group)}`, 2);
  }
  const fspaths = (options.fspaths ?? []).map(checkFspath);
  const fsuid = options.fsuid === undefined ? undefined : parseFsuid(options.fsuid);
  const groups = options.groups === undefined ? undefined : parseIds(options.groups, '--groups');
  await withService(options, { make: true }, async ({ registry, config }) => {
    const person = await personFor(fsuid, group);
    const actor =
      groups === undefined ? person.actor : { ...person.actor, groups: withGroup(person.actor.gid, groups) };
    const account = await registry.createAccount({ displayName: person.name, group, actor, fspaths });
    const made = await registry.createKey(account, config.maxKeys);
    printOne(options, fields(made, made.secret));
    // Whoever gives a uid knows.
    if (fsuid === undefined) process.stderr.write(warningOf(actor));
    tellUser(actor);
  });
}

async function createFurther(options: KeyOptions): Promise<void> {
  const { account, fsuid, groups, fspaths } = options;
  if ([fsuid, groups, fspaths].some((given) => given !== undefined)) {
    throw new Complaint('--account takes an account as it is: leave out --fsuid, --groups and --fspaths', 2);
  }
  await withService(options, { make: false }, async ({ registry, config }) => {
    const made = await registry.createKey(await registry.findAccount(account ?? ''), config.maxKeys);
    printOne(options, fields(made, made.secret));
    tellUser(made.account.actor);
  });
}

function tellUser({ uid }: Actor): void {
  const self = process.getuid?.() ?? 0;
  if (self !== 0 && uid !== self) {
    process.stderr.write(`note: only a gateway that runs as root can work as uid ${uid}\n`);
  }
}

async function list(options: KeyOptions): Promise<void> {
  await withService(options, { make: false }, async ({ registry }) => {
    const only = options.account === undefined ? undefined : (await registry.findAccount(options.account)).uuid;
    const entries = (await registry.list()).filter(({ account }) => only === undefined || account.uuid === only);
    const rows = entries.map((entry) =>
      fields(entry, options.showSecrets === true ? registry.reveal(entry.key) : hidden),
    );
    print(options, rows, table(rows.map(cells), columns));
  });
}

async function setEnabled(options: KeyOptions, accessKey: string, enabled: boolean): Promise<void> {
  await withService(options, { make: false }, async ({ registry }) => {
    const entry = await registry.setEnabled(accessKey, enabled);
    if (entry === undefined) throw missing(accessKey);
    printOne(options, fields(entry));
  });
}

async function reset(options: KeyOptions, accessKey: string): Promise<void> {
  await withService(options, { make: false }, async ({ registry }) => {
    const entry = await registry.reset(accessKey);
    if (entry === undefined) throw missing(accessKey);
    printOne(options, fields(entry, entry.secret));
  });
}

async function rotate(options: KeyOptions, accessKey: string): Promise<void> {
  await withService(options, { make: false }, async ({ registry }) => {
    const entry = await registry.rotate(accessKey);
    if (entry === undefined) throw missing(accessKey);
    printOne(options, fields(entry, entry.secret));
  });
}

async function remove(options: KeyOptions, accessKey: string): Promise<void> {
  await withService(options, { make: false }, async ({ registry, storage }) => {
    const entry = await registry.remove(accessKey);
    if (entry === undefined) throw missing(accessKey);
    const { uuid } = entry.account;
    const hasKeys = (await registry.list()).some(({ account }) => account.uuid === uuid);
    const buckets = (await storage.listBuckets()).filter(({ owner }) => owner === uuid).map(({ name }) => name);
    // The account is the owner id of its buckets: it stays for as long as they do, and can be given a key again.
    const accountKept = hasKeys || buckets.length > 0 || entry.account.named === true;
    if (!accountKept) await registry.removeAccount(uuid);
    const owns = buckets.length > 0 ? `it owns ${buckets.join(', ')}` : "'tidegate account delete' deletes it";
    const why = hasKeys ? 'it has other keys' : owns;
    const note = accountKept ? `account ${uuid} stays: ${why}; 'create --account ${uuid}' makes it a new key\n` : '';
    print(options, { deleted: accessKey, uuid, accountKept, buckets }, `deleted ${accessKey}\n${note}`);
  });
}
