/** `tidegate policy …`: what managers do with `aws iam`, for whoever administers all groups. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { detach } from '../../acl/iam/holders.js';
import { AWS } from '../../acl/iam/managed.js';
import { arnOf, parsePolicyArn, userName } from '../../acl/iam/names.js';
import { type ManagedPolicy, policyArn } from '../../acl/iam/policies.js';
import { Complaint } from '../complaint.js';
import { type Service, withService } from '../main.js';
import { type CommonOptions, example, print, subCommand } from './run.js';
import { table } from './table.js';

interface PolicyOptions extends CommonOptions {
  in?: string;
  file?: string;
  path?: string;
  description?: string;
  account?: string;
  group?: string;
}

const within: [string, string] = [
  '--in <GROUP>',
  'accounting group that the policy belongs to; an ARN names it itself',
];

export function addPolicyCommands(parent: Command): void {
  example(
    subCommand(parent, 'create <NAME>', 'make a policy of a group, to attach to its accounts and policy groups')
      .requiredOption('--in <GROUP>', within[1])
      .requiredOption('--file <FILE>', 'the policy, as JSON without principals; - for standard input')
      .option('--path <PATH>', 'IAM’s path', '/')
      .option('--description <TEXT>', 'what it is for')
      .action(async (name: string, _: unknown, command: Command) => create(name, command.optsWithGlobals())),
    'tidegate policy create read-only --in climate --file read-only.json',
  );
  example(
    subCommand(parent, 'list', 'show the policies')
      .option('--in <GROUP>', 'only those of this accounting group')
      .action(async (_: unknown, command: Command) => list(command.optsWithGlobals())),
    'tidegate policy list --in climate',
  );
  example(
    onPolicy(parent, 'show', 'show a policy, and what it is attached to', show),
    'tidegate policy show arn:aws:iam::climate:policy/read-only',
    'tidegate policy show read-only --in climate',
  );
  example(
    onPolicy(parent, 'delete', 'delete a policy that is attached to nothing', remove),
    'tidegate policy delete read-only --in climate',
  );
  for (const [verb, what] of [
    ['attach', 'let a policy count for an account or a policy group, from the next request on'],
    ['detach', 'let it count no more'],
  ] as const) {
    example(
      onPolicy(parent, verb, what, (service, target, options) => change(service, verb, target, options))
        .option('--account <UUID|NAME>', 'the account')
        .option('--group <NAME>', 'the policy group (aws iam create-group makes them)'),
      `tidegate policy ${verb} read-only --account alice`,
      `tidegate policy ${verb} read-only --in climate --group lab`,
      `tidegate policy ${verb} arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess --account alice`,
    );
  }
}

/** A policy in a namespace: of the ARN, of `--in`, or of the account that is named. */
interface Target {
  namespace: string;
  arn: string;
}

function onPolicy(
  parent: Command,
  verb: string,
  description: string,
  action: (service: Service, target: Target, options: PolicyOptions) => Promise<void>,
): Command {
  return subCommand(parent, `${verb} <ARN|NAME>`, description)
    .option(...within)
    .action(async (policy: string, _: unknown, command: Command) => {
      const options: PolicyOptions = command.optsWithGlobals();
      await withService(options, { make: false }, async (service) =>
        action(service, await targetOf(service, policy, options), options),
      );
    });
}

async function targetOf({ registry }: Service, policy: string, options: PolicyOptions): Promise<Target> {
  const named = parsePolicyArn(policy);
  const account = options.account === undefined ? undefined : await registry.findAccount(options.account);
  const own = named && named.namespace !== AWS ? named.namespace : undefined;
  const namespace = own ?? options.in ?? account?.group ?? named?.namespace;
  if (namespace === undefined) throw new Complaint(`say which group's policy ${policy} is: --in GROUP, or its ARN`, 2);
  if ((options.in ?? namespace) !== namespace || (account?.group ?? namespace) !== namespace) {
    throw new Complaint(`${policy} is not of the group of the account, or of the one that --in names`);
  }
  if (named) return { namespace, arn: policy };
  const found = (await registry.iam.policies.list(namespace)).find(({ name }) => name === policy);
  return { namespace, arn: found ? policyArn(found) : arnOf(namespace, `policy/${policy}`) };
}

const fields = ({ name, namespace, created, description, ...policy }: ManagedPolicy) => ({
  arn: policyArn({ ...policy, namespace, name }),
  name,
  group: namespace,
  description,
  created,
});

function printOne(options: PolicyOptions, row: object): void {
  print(options, row, table(Object.entries(row).map(([name, value]) => [name, [value].flat().join(',')])));
}

async function textOf(file: string): Promise<string> {
  if (file !== '-') return readFile(file, 'utf8');
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}

async function create(name: string, options: PolicyOptions): Promise<void> {
  const { in: namespace = '', path, description } = options;
  const document = await textOf(options.file ?? '-');
  await withService(options, { make: false }, async ({ registry }) => {
    const groups = await registry.groups();
    if (!groups.some((group) => group.name === namespace)) {
      throw new Complaint(`there is no group ${namespace}: 'tidegate group list' shows the groups`);
    }
    printOne(options, fields(await registry.iam.policies.create(namespace, { name, path, description, document })));
  });
}

async function list(options: PolicyOptions): Promise<void> {
  await withService(options, { make: false }, async ({ registry }) => {
    const rows = (await registry.iam.policies.list(options.in)).map(fields);
    const cells = rows.map(({ arn, created, description }) => [arn, created, description]);
    print(options, rows, table(cells, ['arn', 'created', 'description']));
  });
}

async function show({ registry }: Service, { namespace, arn }: Target, options: PolicyOptions): Promise<void> {
  const policy = await registry.iam.policies.get(namespace, arn);
  const { users, groups } = await registry.iam.holders(namespace, arn);
  const held = { accounts: users.map(userName), groups: groups.map(({ name }) => name) };
  printOne(options, { ...fields(policy), ...held, document: policy.document });
}

async function remove({ registry }: Service, { namespace, arn }: Target, options: PolicyOptions): Promise<void> {
  await registry.iam.removePolicy(namespace, arn);
  print(options, { deleted: arn }, `deleted ${arn}\n`);
}

async function change(
  { registry }: Service,
  verb: 'attach' | 'detach',
  { namespace, arn }: Target,
  options: PolicyOptions,
): Promise<void> {
  const { account: who, group } = options;
  if ((who === undefined) === (group === undefined)) throw new Complaint('say --account or --group, one of them', 2);
  const { iam } = registry;
  if (group !== undefined) {
    if (verb === 'attach') await iam.attachToGroup(namespace, group, arn);
    else await iam.groups.update(namespace, group, (holder) => detach(holder, arn));
  } else {
    const account = await registry.findAccount(who ?? '');
    if (verb === 'attach') await iam.attachToUser(account, arn);
    else await iam.updateUser(account, (holder) => detach(holder, arn));
  }
  const holder = group === undefined ? { account: who } : { group };
  print(options, { [`${verb}ed`]: arn, ...holder }, `${verb}ed ${arn}: ${who ?? `group ${group}`}\n`);
}
