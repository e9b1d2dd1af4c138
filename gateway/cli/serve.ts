/** `tidegate serve`: the gateway as a process, with its signals and what it prints. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import type { KeyWithSecret } from '../../acl/registry.js';
import { type Config, loadConfig, settingDocs } from '../config.js';
import { sharedSockets } from '../listener.js';
import { startGateway } from '../main.js';
import { type Ready, serveByProcesses, type Task, taskOfThis, tellEnd, tellReady } from '../processes.js';
import { settings } from '../settings.js';
import { CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN } from '../storage/posix/linux.js';
import { forgetExecution, shedPrivileges } from '../storage/posix/privileges.js';
import { personFor, warningOf } from './person.js';
import { type CommonOptions, example, subCommand } from './run.js';

export function addServeCommand(program: Command): void {
  const serve = subCommand(program, 'serve', 'run the gateway');
  for (const { name, flag, fallback, help, env, list } of settingDocs()) {
    // --root stands on every command already.
    if (flag === undefined || name === 'root') continue;
    const text = `${help} (${fallback === '' ? '' : `default: ${fallback}; `}${env})`;
    // Commander's own defaults would hide the file and the environment: loadConfig knows them.
    if (list) serve.option(flag, text, (value: string, before: string[] = []) => [...before, ...value.split(',')]);
    else serve.option(flag, text);
  }
  serve.action(async (_: unknown, command: Command) => {
    const options: CommonOptions & Record<string, unknown> = command.optsWithGlobals();
    const flags = Object.fromEntries(Object.keys(settings).map((name) => [name, options[name]]));
    const config = await loadConfig({ flags, file: options.config });
    // `lfs changelog` needs the one, `lfs fid2path` the other.
    shedPrivileges(config.changelog.length > 0 ? [CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH] : []);
    forgetExecution();
    const processes = config.processes === 'auto' ? availableParallelism() : config.processes;
    const task = taskOfThis();
    if (processes > 1 && task.part === 'all') await runAll(config, processes);
    else await run(config, processes, task);
  });
  example(
    serve,
    'tidegate serve',
    'tidegate serve --root /sqfs/s3 --processes 4',
    'tidegate serve --root /sqfs/s3 --host 0.0.0.0 --port 443 --tls-cert fullchain.pem --tls-key privkey.pem',
  );
}

async function runAll({ host, port }: Config, count: number): Promise<void> {
  const code = await serveByProcesses({
    listeners: await sharedSockets(host, port, count),
    ready: show,
    warn: (line) => process.stderr.write(`tidegate: ${line}\n`),
  });
  process.exit(code);
}

/** To whoever started it. */
function show({ url, welcome, warning }: Ready): void {
  process.stdout.write(welcome);
  process.stderr.write(warning);
  // Scripts wait for this line.
  process.stdout.write(`tidegate: listening on ${url}\n`);
}

async function run(config: Config, processes: number, task: Task): Promise<void> {
  // From the first moment: a signal while it starts must not leave half of a start behind.
  const stopping = new Promise<string>((resolve) => {
    let first: number | undefined;
    const onSignal = (signal: NodeJS.Signals) => {
      first ??= performance.now();
      resolve(`${signal}: finishing the requests in work (again to stop at once)`);
      // Whoever asks twice wants no draining. But under `npm start` one Ctrl-C comes twice: from the terminal, which
      // signals its whole foreground group, and at once again from npm, which passes it on.
      if (performance.now() - first > 500) void tellEnd().then(() => process.exit(signal === 'SIGINT' ? 130 : 143));
    };
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
    if (task.part === 'all') return;
    const alone = () => resolve('the process that looks after this one is gone: finishing the requests in work');
    if (process.connected) process.once('disconnect', alone);
    else alone();
  });

  const firstAccount = async () => {
    const { name, actor } = await personFor(undefined);
    return { displayName: name, group: 'users', actor };
  };
  const gateway = await startGateway(shareOf(config, processes), firstAccount, task);
  process.on('SIGHUP', () => void gateway.reload());

  const { url, firstKey } = gateway;
  const ready = {
    url,
    welcome: firstKey ? welcome(url, firstKey, config) : '',
    warning: firstKey ? warningOf(firstKey.account.actor) : '',
  };
  if (task.part === 'all') show(ready);
  else tellReady(ready);

  const reason = await stopping;
  process.stderr.write(`tidegate: ${reason}\n`);
  await gateway.close();
  await tellEnd();
  process.exit(0);
}

/** What one of several processes takes of what is meant for all. */
function shareOf(config: Config, processes: number): Config {
  return { ...config, processes, maxRequests: Math.ceil(config.maxRequests / processes) };
}

/** Shown once, at the first start: what to copy and paste. */
function welcome(url: string, { key, secret, account }: KeyWithSecret, config: Config): string {
  return `
This is the first start here: an account and an access key were made for you.
The secret is shown this once; 's3dskey reset' makes a new one.

  endpoint    ${url}
  access key  ${key.accessKey}
  secret key  ${secret}
  files       ${config.root}/${account.uuid}/BUCKET/KEY

Copy and paste to try it:

  export AWS_ACCESS_KEY_ID=${key.accessKey}
  export AWS_SECRET_ACCESS_KEY=${secret}
  export AWS_DEFAULT_REGION=${config.region}
  aws --endpoint-url ${url} s3 mb s3://demo
  aws --endpoint-url ${url} s3 cp README.md s3://demo/
  aws --endpoint-url ${url} s3 ls s3://demo/

`;
}
