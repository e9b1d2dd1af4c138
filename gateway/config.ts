/** The settings of one start: defaults < tidegate.json < environment < flags. The table is in `settings.ts`. */
import { dirname, resolve } from 'node:path';
import { readJson } from 'fs-extra/esm';
import type * as z from 'zod';
import { Complaint, errnoOf, reasonOf } from './complaint.js';
import { type Setting, settings } from './settings.js';

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
