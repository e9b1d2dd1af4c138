/** `s3dskey …`, and the same as `tidegate key …`. */
import { isAbsolute, normalize } from 'node:path';
import type { Command } from 'commander';
import type { KeyEntry, Registry } from '../../acl/registry.js';
import { Complaint } from '../complaint.js';
import { withService } from '../main.js';
import { parseFsuid, personFor, warningOf } from './person.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { table } from './table.js';

interface KeyOptions extends CommonOptions {
  key?: string;
  group?: string;
  fsuid?: string;
  fspaths?: string[];
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
  const collect = (value: string, before: string[] = []) => [...before, ...value.split(',')];

  example(
    subCommand(parent, 'create', 'make an account with an access key; the secret is shown this once')
      .requiredOption('--group <GROUP>', 'group that usage is charged to')
      .option('--fsuid <UID:GID>', 'POSIX user and group that files belong to (default: you, also under sudo)')
      .option('--fspaths <DIRS>', 'directories that may be published as buckets; commas between', collect)
      .option('--account <UUID>', 'a further key for this account, instead of a new account')
      .action(async (_: unknown, command: Command) => create(command.optsWithGlobals())),
    `${name} create --group=hpc01`,
    `sudo ${name} create --root /sqfs/s3 --group=hpc01 --fsuid 60101:10 --fspaths /sqfs/work/hpc01`,
  );

  example(
    subCommand(parent, 'list', 'show the access keys')
      // A list is what people paste into tickets: secrets only on demand.
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
  onKey('delete', 'revoke a key for good; buckets and files stay', remove);
}

const missing = (key: string) => new Complaint(`there is no access key ${key}: 'list' shows the keys of this root`);

async function create(options: KeyOptions): Promise<void> {
  const group = options.group ?? '';
  // Control characters and colons would make tags and tables ambiguous.
  if (!/^[^\s:\p{Cc}][^:\p{Cc}]{0,63}$/u.test(group)) {
    throw new Complaint(`--group takes a name of 1 to 64 letters without ':', not ${JSON.stringify(group)}`, 2);
  }
  const fspaths = (options.fspaths ?? []).map(checkFspath);
  const fsuid = options.fsuid === undefined ? undefined : parseFsuid(options.fsuid);
  if (options.account !== undefined && (fsuid !== undefined || fspaths.length > 0)) {
    throw new Complaint('--account takes an account as it is: leave out --fsuid and --fspaths', 2);
  }
  await withService(options, { make: true }, async ({ registry }) => {
    const account = options.account === undefined ? undefined : await accountOf(registry, options.account);
    const person = account === undefined ? await personFor(fsuid, group) : undefined;
    const made = await registry.createKey(
      account ?? (await registry.createAccount({ displayName: person!.name, group, actor: person!.actor, fspaths })),
    );
    printOne(options, fields(made, made.secret));
    // Whoever gives a uid, or takes an account as it is, knows.
    if (person !== undefined && fsuid === undefined) process.stderr.write(warningOf(person.actor));
    const self = process.getuid?.() ?? 0;
    if (self !== 0 && made.account.actor.uid !== self) {
      process.stderr.write(`note: only a gateway that runs as root can work as uid ${made.account.actor.uid}\n`);
    }
  });
}

async function accountOf(registry: Registry, uuid: string) {
  const account = await registry.account(uuid);
  if (account === undefined) throw new Complaint(`there is no account ${uuid}: 'list' shows the uuids`);
  return account;
}

function checkFspath(path: string): string {
  // The gateway compares whole segments; `..` or a relative path would not mean what it seems to.
  if (!isAbsolute(path) || path.split('/').includes('..') || /\p{Cc}/u.test(path)) {
    throw new Complaint(`--fspaths takes absolute directories, not ${JSON.stringify(path)}`, 2);
  }
  const plain = normalize(path);
  return plain.length > 1 && plain.endsWith('/') ? plain.slice(0, -1) : plain;
}

async function list(options: KeyOptions): Promise<void> {
  await withService(options, { make: false }, async ({ registry }) => {
    const rows = (await registry.list()).map((entry) =>
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

async function remove(options: KeyOptions, accessKey: string): Promise<void> {
  await withService(options, { make: false }, async ({ registry, storage }) => {
    const entry = await registry.remove(accessKey);
    if (entry === undefined) throw missing(accessKey);
    const { uuid } = entry.account;
    const hasKeys = (await registry.list()).some(({ account }) => account.uuid === uuid);
    const buckets = (await storage.listBuckets()).filter(({ owner }) => owner === uuid).map(({ name }) => name);
    // The account is the owner id of its buckets: it stays for as long as they do, and can be given a key again.
    const accountKept = hasKeys || buckets.length > 0;
    if (!accountKept) await registry.removeAccount(uuid);
    const why = hasKeys ? 'it has other keys' : `it owns ${buckets.join(', ')}`;
    const note = accountKept ? `account ${uuid} stays: ${why}; 'create --account ${uuid}' makes it a new key\n` : '';
    print(options, { deleted: accessKey, uuid, accountKept, buckets }, `deleted ${accessKey}\n${note}`);
  });
}
