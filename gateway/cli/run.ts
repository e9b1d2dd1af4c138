/** What the commands share: their common options, how they fail, and how they print. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { Complaint, errnoOf, reasonOf } from '../complaint.js';
import { S3Error } from '../errors.js';
import { printable } from './table.js';

/** Options that stand on every command, before or after the sub-command. */
export interface CommonOptions {
  root?: string;
  config?: string;
  json?: boolean;
}

/** Of the package, in whose `dist/gateway/cli` this is. */
const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** A program with the common options and `help`; sub-commands are added by the caller. */
export function createProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(version, '--version', 'print the version')
    .option('--root <DIR>', 'directory that holds the service area and the buckets (default: ./data)')
    .option('--config <FILE>', 'configuration file (default: tidegate.json in this directory, if there)')
    .option('--json', 'print JSON instead of tables')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => {
        const line = text
          .trim()
          .replace(/^error: /, '')
          .replace(/\s*\n\s*/g, ' ');
        write(`${name}: ${line}; '${name} --help' shows what there is\n`);
      },
    });
}

/** Adds an example to a command's `--help`. */
export const example = (command: Command, ...lines: string[]): Command =>
  command.addHelpText('after', `\nExample:\n${lines.map((line) => `  ${line}`).join('\n')}`);

/** A sub-command that inherits how its parent prints and fails. */
export function subCommand(parent: Command, nameAndArguments: string, description: string): Command {
  return parent.command(nameAndArguments).description(description).allowExcessArguments(false);
}

/** Parses, runs, and sets the exit code: 0 done, 1 it could not be done, 2 the command was wrong as given. */
export async function run(program: Command, argv: readonly string[] = process.argv): Promise<void> {
  survive(process.stdout, closedOutput);
  survive(process.stderr, ignore);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = report(program.name(), error);
  }
}

/** `s3dskey list | head -1` is no failure. */
const closedOutput = (error: Error): void => process.exit(errnoOf(error) === 'EPIPE' ? 0 : 1);
/** A gateway goes on, whoever has stopped listening to it. */
const ignore = (): void => {};

/** Once, however many commands one process runs. */
function survive(stream: NodeJS.WriteStream, handler: (error: Error) => void): void {
  if (!stream.listeners('error').includes(handler)) stream.on('error', handler);
}

function report(name: string, error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed already. Help that was asked for is no failure; help for want of a sub-command is.
    return error.exitCode === 0 ? 0 : 2;
  }
  const [message, code] = describe(error);
  // Names of files may be in it.
  process.stderr.write(`${name}: ${message.split('\n').map(printable).join('\n')}\n`);
  if (process.env['TIDEGATE_TEST_STACKS'] === '1' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return code;
}

function describe(error: unknown): [message: string, code: number] {
  if (error instanceof Complaint) return [error.message, error.exitCode];
  if (error instanceof S3Error) {
    const below = error.cause === undefined ? '' : ` (${reasonOf(error.cause)})`;
    return [`${error.code}: ${error.message}${below}`, 1];
  }
  const { path, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (syscall === 'uv_cwd') return [`the current directory: ${reasonOf(error)}`, 1];
  return [errnoOf(error) !== undefined && path !== undefined ? `${path}: ${reasonOf(error)}` : reasonOf(error), 1];
}

/** Prints one JSON document, or the text. */
export function print(options: CommonOptions, value: unknown, text: string): void {
  process.stdout.write(options.json === true ? `${JSON.stringify(value, null, 2)}\n` : text);
}
