/**
 * The one table of settings. Defaults, names of environment variables and flags, the help texts, the checks and the README's
 * table (`settingsMarkdown`) all come from it.
 */
import * as z from 'zod';
import { defaultPrivateNetworks, isRange } from '../acl/addresses.js';

export interface Setting<T> {
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

const onOff = z.enum(['on', 'off']).transform((value) => value === 'on');

/** Bytes from `64K`, `256M`, `10G`; powers of 1024. */
const bytes = (least: number) =>
  z
    .string()
    .trim()
    .regex(/^\d{1,6}[KMG]$/)
    .transform((value) => Number(value.slice(0, -1)) * 1024 ** (1 + 'KMG'.indexOf(value.slice(-1))))
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

const changelogs = z
  .union([z.array(z.string()), z.string().transform((value) => value.split(','))])
  .transform((list) => list.map((each) => each.trim()).filter((each) => each !== ''))
  .refine((list) => list.every((each) => /^[\w.-]+-MDT[0-9a-fA-F]{4}:[\w.-]+$/.test(each)));

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
  processes: define({
    schema: z.union([z.literal('auto'), count(1, 64)]),
    default: 1,
    placeholder: 'N',
    help: 'processes that serve requests, for more than one core; auto is one for each core',
    allowed: 'auto or a number from 1 to 64',
  }),
  workers: define({
    schema: z.union([z.literal('auto'), count(1, 256)]),
    default: 'auto',
    placeholder: 'N',
    help: 'threads that work on files, for each filesystem in each process; auto: by the cores, up to 32 on network filesystems',
    allowed: 'auto or a number from 1 to 256',
  }),
  ioTimeout: define({
    schema: duration(second),
    default: '30s',
    placeholder: 'TIME',
    help: 'requests are answered SlowDown (503) when their filesystem does not answer for so long',
    allowed: 'at least a second, written like 5s, 30s or 2m',
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
  sync: define({
    schema: onOff,
    default: 'on',
    placeholder: 'ON|OFF',
    help: 'what jobs do to files gets true ETags, counts and events; off: files are served, and nothing more is done about them',
    allowed: 'on or off',
  }),
  syncWatch: define({
    schema: onOff,
    default: 'on',
    placeholder: 'ON|OFF',
    help: 'changes on this machine are seen at once (inotify), not by scans alone',
    allowed: 'on or off',
  }),
  syncQuiet: define({
    schema: duration(0),
    default: '2s',
    placeholder: 'TIME',
    help: 'a file that was changed less than this ago is left alone: it may still be written',
    allowed: 'a time written like 0s, 2s or 5m',
  }),
  syncScan: define({
    schema: z.union([z.literal('never').transform(() => Number.POSITIVE_INFINITY), duration(60 * second)]),
    default: '1d',
    placeholder: 'TIME',
    help: 'so often every file of every bucket is looked at, for what nobody watched',
    allowed: 'never, or at least a minute, written like 30m, 12h or 7d',
  }),
  syncQuickScan: define({
    schema: z.union([z.literal('never').transform(() => Number.POSITIVE_INFINITY), duration(10 * second)]),
    default: '10m',
    placeholder: 'TIME',
    help: 'so often directories whose times have changed are looked at: names that came or went on other machines',
    allowed: 'never, or at least ten seconds, written like 30s, 10m or 1h',
  }),
  changelog: define<readonly string[]>({
    schema: changelogs,
    default: [],
    placeholder: 'MDT:USER',
    list: true,
    help: 'Lustre: changelogs that tell what all nodes do, each with a changelog user that this gateway alone reads as; repeatable',
    allowed: 'a list of MDTs with a changelog user each, such as lustre-MDT0000:cl1',
  }),
  syncHashers: define({
    schema: z.union([z.literal('auto'), count(1, 64)]),
    default: 'auto',
    placeholder: 'N',
    help: 'threads that compute digests of files; auto is half of the cores',
    allowed: 'auto or a number from 1 to 64',
  }),
  syncRate: define({
    schema: z.union([z.literal('full').transform(() => 0), bytes(64 * 1024)]),
    default: 'full',
    placeholder: 'BYTES',
    help: 'what digests may read in a second, all together; full: what the disk gives, at idle priority',
    allowed: 'full, or at least 64K, written like 50M or 1G',
  }),
  syncIops: define({
    schema: z.union([z.literal('full').transform(() => 0), count(10, 1_000_000)]),
    default: 'full',
    placeholder: 'N',
    help: 'what digests may do in a second, all together: one for each file, and one for each MiB of a larger one',
    allowed: 'full, or a number from 10 to 1000000',
  }),
  syncChecksum: define({
    schema: z.enum(['none', 'CRC64NVME', 'SHA256']),
    default: 'none',
    placeholder: 'NAME',
    help: 'a checksum that files of jobs get besides their MD5',
    allowed: 'none, CRC64NVME or SHA256',
  }),
  feedSize: define({
    schema: bytes(1024 * 1024),
    default: '256M',
    placeholder: 'BYTES',
    help: 'disk space for the events of a bucket; above it the oldest are dropped, and readers are told',
    allowed: 'at least 1M, written like 64M or 2G',
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
