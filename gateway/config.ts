/**
 * The settings: defaults < tidegate.json < environment < flags.
 *
 * `settings` is the one table. Defaults, names of environment variables and flags, the help texts, the checks and the
 * README's table (`settingsMarkdown`) all come from it.
 */
import { dirname, resolve } from 'node:path';
import { readJson } from 'fs-extra/esm';
import { z } from 'zod';
import { defaultPrivateNetworks, isRange } from '../acl/addresses.js';
import { Complaint, errnoOf, reasonOf } from './complaint.js';

interface Setting<T> {
  /** Accepts what a JSON file may hold as well as the text of a flag or a variable. */
  schema: z.ZodType<T>;
  /** Written as a person would write it; it goes through the schema like any other value. */
  default: unknown;
  help: string;
  /** Completes "must be …". */
  allowed: string;
  /** What the flag takes, for help; a setting without it has no flag. */
  placeholder?: string;
  /** A path: made absolute, in a file against the file's own directory. */
  path?: true;
  /** The flag may be repeated, and each may hold several, separated by commas. */
  list?: true;
  /** Only from the environment: neither a file others may read nor a process list is a place for it. */
  secret?: true;
}

const define = <T>(setting: Setting<T>): Setting<T> => setting;

const text = z.string().trim().min(1);
const path = text;

/** A whole number, also as text; never `''`, `1e3` or `0x10`, which Number() would take. */
const count = (least: number, most: number) =>
  z
    .union([z.int(), z.string().trim().regex(/^\d+$/).transform(Number)])
    .refine((value) => value >= least && value <= most);

const second = 1000;
const units: Record<string, number> = { s: second, m: 60 * second, h: 3600 * second, d: 86_400 * second };
/** Milliseconds from `90s`, `30m`, `12h`, `7d`. */
const duration = (least: number) =>
  z
    .string()
    .trim()
    .regex(/^\d{1,6}[smhd]$/)
    .transform((value) => Number(value.slice(0, -1)) * (units[value.slice(-1)] ?? Number.NaN))
    .refine((value) => value >= least);

const mode = z
  .string()
  .trim()
  .regex(/^0?[0-7]{3,4}$/)
  .transform((value) => Number.parseInt(value, 8))
  // The gateway itself must be able to read back and replace what it made.
  .refine((value) => (value & 0o600) === 0o600 && value <= 0o7777);

/** Nothing of the owner's may be taken away: the gateway must be able to read back what it made. */
const mask = z
  .string()
  .trim()
  .regex(/^0{0,2}[0-7]{1,3}$/)
  .transform((value) => Number.parseInt(value, 8))
  .refine((value) => (value & 0o700) === 0);

const domains = z
  .union([z.array(z.string()), z.string().transform((value) => value.split(',').map((part) => part.trim()))])
  .transform((list) => list.filter((domain) => domain !== '').map((domain) => domain.toLowerCase()))
  .refine((list) => list.every((domain) => /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(domain)));

/** Ranges in CIDR notation or single addresses, as a list or separated by commas. */
const ranges = z
  .union([z.array(z.string()), z.string().transform((value) => value.split(','))])
  .transform((list) => list.map((range) => range.trim()).filter((range) => range !== ''))
  .refine((list) => list.every(isRange));
const rangesAllowed = 'a list of addresses or ranges such as 192.0.2.0/24 and 2001:db8::/32';

export const settings = {
  root: define({
    schema: path,
    default: './data',
    placeholder: 'DIR',
    path: true,
    help: 'directory that holds the service area and the buckets; made when missing',
    allowed: 'a directory',
  }),
  host: define({
    schema: text.regex(/^[0-9A-Za-z.:_-]+$/),
    default: '127.0.0.1',
    placeholder: 'ADDRESS',
    help: 'address to listen on; 0.0.0.0 or :: for all',
    allowed: 'an IP address or host name of this machine',
  }),
  port: define({
    schema: count(0, 65_535),
    default: 9000,
    placeholder: 'PORT',
    help: 'port to listen on; 0 takes a free one',
    allowed: 'a number from 0 to 65535',
  }),
  region: define({
    schema: text.regex(/^[a-z0-9-]{1,64}$/),
    default: 'us-east-1',
    placeholder: 'NAME',
    help: 'region that GetBucketLocation names; requests signed for any region are accepted',
    allowed: 'a region name of a-z, 0-9 and -',
  }),
  hostStyle: define<string[]>({
    schema: domains,
    default: [],
    placeholder: 'DOMAIN',
    list: true,
    help: 'serve BUCKET.DOMAIN beside DOMAIN/BUCKET; repeatable',
    allowed: 'a list of domain names',
  }),
  tlsCert: define({
    schema: path.optional(),
    default: undefined,
    placeholder: 'FILE',
    path: true,
    help: 'certificate chain (PEM); serves https, and a renewed file is taken up by itself or on SIGHUP',
    allowed: 'a PEM file, given together with tlsKey',
  }),
  tlsKey: define({
    schema: path.optional(),
    default: undefined,
    placeholder: 'FILE',
    path: true,
    help: 'private key (PEM) of tlsCert',
    allowed: 'a PEM file, given together with tlsCert',
  }),
  allowFrom: define<readonly string[]>({
    schema: ranges,
    default: [],
    placeholder: 'CIDR',
    list: true,
    help: 'addresses that are served at all; none given: all; repeatable',
    allowed: rangesAllowed,
  }),
  trustedProxies: define<readonly string[]>({
    schema: ranges,
    default: [],
    placeholder: 'CIDR',
    list: true,
    help: "proxies whose X-Forwarded-For is believed about the client's address; repeatable",
    allowed: rangesAllowed,
  }),
  privateNetworks: define<readonly string[]>({
    schema: ranges,
    default: defaultPrivateNetworks,
    placeholder: 'CIDR',
    list: true,
    help: "addresses that reach buckets with access 'private'; repeatable",
    allowed: rangesAllowed,
  }),
  durability: define({
    schema: z.enum(['full', 'data', 'none']),
    default: 'full',
    placeholder: 'LEVEL',
    help: 'what is on disk before an upload is acknowledged: full = file and name, data = file, none = up to the kernel',
    allowed: 'full, data or none',
  }),
  workers: define({
    schema: z.union([z.literal('auto'), count(1, 256)]),
    default: 'auto',
    placeholder: 'N',
    help: 'threads that work on files; auto goes by the cores',
    allowed: 'auto or a number from 1 to 256',
  }),
  maxRequests: define({
    schema: count(1, 1_000_000),
    default: 1024,
    placeholder: 'N',
    help: 'requests in work at once; more are answered SlowDown (503)',
    allowed: 'a number from 1 to 1000000',
  }),
  maxKeys: define({
    schema: count(1, 1_000_000),
    default: 10,
    placeholder: 'N',
    help: 'access keys an account may have',
    allowed: 'a number from 1 to 1000000',
  }),
  maxBuckets: define({
    schema: count(1, 1_000_000),
    default: 999,
    placeholder: 'N',
    help: 'buckets an account may have',
    allowed: 'a number from 1 to 1000000',
  }),
  uploadAge: define({
    // 0 is "never" to the store.
    schema: z.union([z.literal('never').transform(() => 0), duration(60 * second)]),
    default: '7d',
    placeholder: 'AGE',
    help: 'multipart uploads without activity for so long are aborted',
    allowed: 'never, or at least a minute, written like 30m, 12h or 7d',
  }),
  stagingAge: define({
    schema: duration(second),
    default: '1d',
    placeholder: 'AGE',
    help: 'temporary files that a crash on another machine left are removed after so long, those of this one at once',
    allowed: 'at least a second, written like 10s, 30m or 1d',
  }),
  metadata: define({
    schema: z.enum(['auto', 'xattr', 'sidecar']),
    default: 'auto',
    placeholder: 'KIND',
    help: 'where S3 metadata lies: xattr = extended attributes, sidecar = files beside, auto = what the filesystem has',
    allowed: 'auto, xattr or sidecar',
  }),
  fileMode: define({
    schema: mode,
    default: '0644',
    placeholder: 'MODE',
    help: 'permissions of files that uploads make (octal), before the umask',
    allowed: 'octal permissions with read and write for the owner, such as "0640"',
  }),
  dirMode: define({
    schema: mode.refine((value) => (value & 0o700) === 0o700),
    default: '0755',
    placeholder: 'MODE',
    help: 'permissions of directories that uploads make (octal), before the umask',
    allowed: 'octal permissions with all rights for the owner, such as "0750"',
  }),
  umask: define({
    schema: mask.optional(),
    default: undefined,
    placeholder: 'MASK',
    help: 'permissions taken from both (octal); the one it is started with when not given; a default ACL of the directory counts instead',
    allowed: 'octal permissions without those of the owner, such as "0027"',
  }),
  logLevel: define({
    schema: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
    default: 'info',
    placeholder: 'LEVEL',
    help: 'what is logged (JSON lines on standard error)',
    allowed: 'fatal, error, warn, info, debug, trace or silent',
  }),
  masterKeyFile: define({
    schema: path.optional(),
    default: undefined,
    placeholder: 'FILE',
    path: true,
    help: 'file of the key that seals the secrets; ROOT/.tidegate/master.key when not given',
    allowed: 'a file of mode 0600',
  }),
  masterKey: define({
    schema: text.optional(),
    default: undefined,
    secret: true,
    help: 'the key that seals the secrets itself: 32 bytes in base64 or hex, instead of a file',
    allowed: '32 bytes in base64 or hex',
  }),
} as const;

export type SettingName = keyof typeof settings;
export type Config = { [K in SettingName]: z.output<(typeof settings)[K]['schema']> };
/** The table without the types of the single settings, to walk over. */
const table: Record<string, Setting<unknown>> = settings;
const names = Object.keys(settings) as SettingName[];

/** `hostStyle` → `TIDEGATE_HOST_STYLE`. */
export const envName = (name: string) => `TIDEGATE_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`;
/** `hostStyle` → `--host-style`. */
export const flagName = (name: string) => `--${name.replace(/[A-Z]/g, '-$&').toLowerCase()}`;

export interface ConfigSources {
  /** Values of flags by setting name, as typed. */
  flags?: Readonly<Record<string, unknown>>;
  env?: Readonly<Record<string, string | undefined>>;
  cwd?: string;
  /** `--config FILE`: must exist then. Otherwise `tidegate.json` in `cwd`, if there. */
  file?: string;
}

/**
 * Puts the settings together. Throws a Complaint (exit code 2) that names the setting, where its value came from, and
 * what is allowed.
 */
export async function loadConfig(sources: ConfigSources = {}): Promise<Config> {
  const { flags = {}, env = process.env, cwd = process.cwd() } = sources;
  const file = await readConfigFile(cwd, sources.file);
  const config: Record<string, unknown> = {};
  for (const name of names) config[name] = settle(name, { flags, env, cwd, file });
  const whole = config as Config;
  if ((whole.tlsCert === undefined) !== (whole.tlsKey === undefined)) {
    const [given, missing] = whole.tlsCert === undefined ? ['tlsKey', 'tlsCert'] : ['tlsCert', 'tlsKey'];
    throw new Complaint(`${given} is set and ${missing} is not: TLS needs both (${flagName(missing)} FILE)`, 2);
  }
  return whole;
}

interface ConfigFile {
  path: string;
  values: Record<string, unknown>;
}

function settle(
  name: SettingName,
  { flags, env, cwd, file }: Required<Pick<ConfigSources, 'flags' | 'env' | 'cwd'>> & { file: ConfigFile | undefined },
): unknown {
  const setting = table[name]!;
  // Other TIDEGATE_* variables are let be: Kubernetes puts TIDEGATE_SERVICE_HOST and the like beside a service so named.
  const variable = env[envName(name)];
  if (flags[name] !== undefined) return check(setting, name, flags[name], flagName(name), cwd);
  // An empty variable counts as not set: it is what `TIDEGATE_PORT= npm start` and most env files mean.
  if (variable !== undefined && variable !== '') return check(setting, name, variable, envName(name), cwd);
  const value = file?.values[name];
  if (file !== undefined && value !== undefined) return check(setting, name, value, file.path, dirname(file.path));
  return check(setting, name, setting.default, 'the default', cwd);
}

function check(setting: Setting<unknown>, name: string, value: unknown, source: string, base: string): unknown {
  const result = setting.schema.safeParse(value);
  if (!result.success) {
    const shown = setting.secret === true ? 'its value (not shown)' : JSON.stringify(value);
    throw new Complaint(`setting ${name} (from ${source}) must be ${setting.allowed}, not ${shown}`, 2);
  }
  return setting.path === true && typeof result.data === 'string' ? resolve(base, result.data) : result.data;
}

async function readConfigFile(cwd: string, given: string | undefined): Promise<ConfigFile | undefined> {
  const path = resolve(cwd, given ?? 'tidegate.json');
  let values: unknown;
  try {
    values = await readJson(path);
  } catch (error) {
    if (given === undefined && errnoOf(error) === 'ENOENT') return undefined;
    if (errnoOf(error) !== undefined) {
      throw new Complaint(`cannot read the configuration file ${path}: ${reasonOf(error)}`, 2, error);
    }
    // The message begins with the path.
    const reason = reasonOf(error).replace(`${path}: `, '');
    throw new Complaint(`the configuration file ${path} is not JSON: ${reason}`, 2, error);
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new Complaint(`the configuration file ${path} must hold one JSON object, such as {"port": 9000}`, 2);
  }
  for (const name of Object.keys(values)) {
    if (!Object.hasOwn(table, name)) {
      throw new Complaint(`unknown setting ${JSON.stringify(name)} in ${path}${suggestion(name, allowedInFile)}`, 2);
    }
    if (table[name]!.secret === true) {
      throw new Complaint(`setting ${name} does not belong in ${path}: give it as ${envName(name)}`, 2);
    }
  }
  return { path, values: values as Record<string, unknown> };
}

const allowedInFile = names.filter((name) => table[name]!.secret !== true);

function suggestion(word: string, candidates: readonly string[]): string {
  const ranked = candidates
    .map((candidate) => ({ candidate, far: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.far - b.far);
  const nearest = ranked[0]!;
  // Beyond half of the letters the nearest name is a guess that only misleads.
  return nearest.far <= Math.ceil(word.length / 2)
    ? `: did you mean ${nearest.candidate}?`
    : `: the settings are ${candidates.join(', ')}`;
}

/** How many letters are missing, too many, wrong, or swapped with their neighbour. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= a.length; i++) {
    const [row, above] = [[i], rows[i - 1]!];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1));
      if (swapped) row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** What help texts and the README show of a setting. */
export interface SettingDoc {
  name: SettingName;
  /** Undefined for a setting that only the environment gives. */
  flag: string | undefined;
  env: string;
  fallback: string;
  help: string;
  allowed: string;
  list: boolean;
}

export function settingDocs(): SettingDoc[] {
  return names.map((name) => {
    const setting = table[name]!;
    // A list is shown as the flag takes it.
    const fallback = String(setting.default ?? '');
    return {
      name,
      flag: setting.placeholder === undefined ? undefined : `${flagName(name)} <${setting.placeholder}>`,
      env: envName(name),
      fallback,
      help: setting.help,
      allowed: setting.allowed,
      list: setting.list === true,
    };
  });
}

/** The README's table of settings. */
export function settingsMarkdown(): string {
  const rows = settingDocs().map(
    ({ name, flag, env, fallback, help, allowed }) =>
      `| ${flag === undefined ? '–' : `\`${name}\``} | \`${env}\` | ${flag === undefined ? '–' : `\`${flag}\``} | ${
        fallback === '' ? '–' : `\`${fallback}\``
      } | ${help} (${allowed}) |`,
  );
  return [
    '| In `tidegate.json` | Environment | Flag | Default | Meaning (allowed) |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}
