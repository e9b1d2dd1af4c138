/** Builds the concrete parts: the service area for the commands, the whole gateway for `serve`. */
import { access, chmod, constants, mkdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathExists } from 'fs-extra/esm';
import { createRegistry, type KeyWithSecret, type NewAccount, type Registry } from '../acl/registry.js';
import { createWebhooks, type Webhooks } from '../sync/webhooks.js';
import { readCertificate, watchCertificate } from './certificates.js';
import { Complaint, errnoOf, reasonOf } from './complaint.js';
import { type Config, loadConfig } from './config.js';
import { cannotListen } from './listener.js';
import { openSealer } from './master-key.js';
import { createLog, type Log } from './observe/log.js';
import type { Task } from './processes.js';
import { createGateway, type Gateway } from './server.js';
import { createPosixStorage } from './storage/posix/index.js';
import { identityStatement } from './storage/posix/privileges.js';
import { type ProbeResult, probe } from './storage/posix/probe.js';
import { unlisten } from './storage/posix/sockets.js';
import type { Storage } from './storage/types.js';
import { openSync } from './syncing.js';

/** What commands and gateway share. */
export interface Service {
  config: Config;
  storage: Storage;
  registry: Registry;
  webhooks: Webhooks;
}

/** Opens the service area of the root that the options and the configuration name, and closes it in any case. */
export async function withService(
  options: { root?: string; config?: string },
  { make }: { make: boolean },
  work: (service: Service) => Promise<void>,
): Promise<void> {
  const config = await loadConfig({ flags: { root: options.root }, file: options.config });
  await checkRoot(config.root, make);
  // A command does one thing after the other: more threads would only cost their start.
  const service = await openService({ ...config, workers: 1 });
  try {
    await work(service);
  } finally {
    await service.storage.close();
  }
}

async function openService(config: Config, log?: Log, reaps = true): Promise<Service> {
  const { root, durability, fileMode, dirMode, umask, stagingAge, uploadAge } = config;
  const storage = await createPosixStorage({
    root,
    durability,
    fileMode,
    directoryMode: dirMode,
    stagingAge,
    uploadAge,
    workers: config.workers === 'auto' ? undefined : config.workers,
    processes: config.processes === 'auto' ? undefined : config.processes,
    ioTimeout: config.ioTimeout,
    reaps,
    // `auto` is decided for each bucket's filesystem by the store; `xattr` has been checked before.
    sidecars: config.metadata === 'sidecar',
    ...(umask === undefined ? {} : { umask }),
    ...(log === undefined ? {} : { log }),
  });
  try {
    const sealer = await openSealer(config, storage.documents);
    const { documents } = storage;
    const registry = createRegistry({ documents, sealer });
    return { config, storage, registry, webhooks: createWebhooks(documents, sealer) };
  } catch (error) {
    await storage.close();
    throw error;
  }
}

/** One clear line for each way in which a root can be unusable. */
async function checkRoot(root: string, make: boolean): Promise<void> {
  try {
    if (make) {
      await refuseNested(root);
      const made = await makeWithParents(root);
      // Every owner works below it as himself, whatever umask the gateway was started with.
      if (made && process.geteuid?.() === 0) await chmod(root, 0o755);
    }
    if (!(await stat(root)).isDirectory()) throw new Complaint(`the root ${root} is not a directory`);
    await access(root, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof Complaint) throw error;
    if (errnoOf(error) === 'EEXIST') throw new Complaint(`the root ${root} is not a directory`, 1, error);
    const hint = errnoOf(error) === 'ENOENT' ? ': give the right one by --root, or make it' : await ownerHint(root);
    throw new Complaint(`cannot use the root ${root}: ${reasonOf(error)}${hint}`, 1, error);
  }
  const area = join(root, '.tidegate');
  try {
    await access(area, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw new Complaint(`cannot use ${area}: ${reasonOf(error)}${await ownerHint(area)}`, 1, error);
  }
}

/** Whether it was not there. Node's own tries for ever where nothing can be made in a directory that is there (`/proc`). */
async function makeWithParents(directory: string): Promise<boolean> {
  const make = async () => {
    try {
      await mkdir(directory);
      return true;
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false;
      throw error;
    }
  };
  try {
    return await make();
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || dirname(directory) === directory) throw error;
    await makeWithParents(dirname(directory));
    return make();
  }
}

/**
 * A new root in a bucket or in another root would be objects, secrets included, and a bucket of it reachable twice. A
 * root that is there already is let be: it may have been first.
 */
async function refuseNested(root: string): Promise<void> {
  const area = join(root, '.tidegate');
  if (await pathExists(join(area, 'service'))) return;
  const refusal = (taken: string) =>
    new Complaint(`cannot make the root ${root}: ${taken} is a bucket or a root already: take a directory outside`);
  // What a bucket has as soon as it was used. One alone is also what another gateway makes that starts first just now.
  for (const name of ['staging', 'locks', 'uploads']) if (await pathExists(join(area, name))) throw refusal(root);
  let there = root;
  while (!(await pathExists(there)) && dirname(there) !== there) there = dirname(there);
  // Where the root really lies is what counts, whatever symbolic links lead there.
  const real = await realpath(there);
  for (let above = there === root ? dirname(real) : real; ; above = dirname(above)) {
    if (await pathExists(join(above, '.tidegate'))) throw refusal(above);
    if (dirname(above) === above) return;
  }
}

/** The service area holds everybody's secrets: only the user that the gateways run as may work on it. */
async function ownerHint(path: string): Promise<string> {
  const owner = await stat(path).then(
    ({ uid }) => uid,
    () => undefined,
  );
  return owner === undefined || owner === process.getuid?.() ? '' : `: run it as its owner (uid ${owner})`;
}

export interface RunningGateway {
  /** `http://127.0.0.1:9000`, with the port that was really taken. */
  url: string;
  /** Made by this start, as the first of the root. */
  firstKey: KeyWithSecret | undefined;
  /** Takes up a renewed certificate. */
  reload(): Promise<void>;
  /** Takes no more connections, finishes what runs, and gives everything back. */
  close(): Promise<void>;
}

/**
 * Starts everything and listens.
 * @param firstAccount of a new root; asked for only then
 * @param task see `processes.ts`
 * @throws a Complaint for what the person who started it can put right
 */
export async function startGateway(
  config: Config,
  firstAccount: () => Promise<NewAccount>,
  { part, listener }: Task = { part: 'all' },
): Promise<RunningGateway> {
  const log = createLog({ level: config.logLevel });
  const files =
    config.tlsCert === undefined || config.tlsKey === undefined
      ? undefined
      : { cert: config.tlsCert, key: config.tlsKey };
  const tls = files === undefined ? undefined : await readCertificate(files);
  await checkRoot(config.root, true);
  tellFilesystem(probeRoot(config.root), config, log);

  const { storage, registry, webhooks } = await openService(config, log, part !== 'server');
  const { identities } = registry;
  const sync = await openSync(config, { storage, webhooks }, log, part);
  const gateway = createGateway({ ...config, storage, registry, identities, ...sync.parts, tls, log });
  const closeAll = async () => {
    // Whoever gave it has it open too: what connects from now on would wait for ever. What has, and is not accepted, is broken off.
    if (listener !== undefined) unlisten(listener);
    await gateway.close();
    await sync.close();
    await storage.close();
  };
  try {
    const url = await listen(gateway, config, listener);
    sync.start();
    const { message, problem } = identityStatement();
    log[problem ? 'warn' : 'info'](message);
    // After listening: a start that fails for a taken port must not have used up the one showing of the secret.
    const firstKey = await registry.ensureFirst(firstAccount);
    const certificate =
      files === undefined
        ? undefined
        : watchCertificate(
            files,
            (renewed) => {
              gateway.setCertificate(renewed);
              log.info('TLS certificate taken up');
            },
            (error) => log.error({ err: error }, `the old TLS certificate stays in force: ${reasonOf(error)}`),
          );
    return {
      url,
      firstKey,
      reload: async () => certificate?.reload(),
      async close() {
        await certificate?.close();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function listen(gateway: Gateway, { host, port, tlsCert }: Config, listener?: number): Promise<string> {
  let taken: { port: number };
  try {
    taken = await gateway.listen(listener === undefined ? { host, port } : { fd: listener });
  } catch (error) {
    throw cannotListen(host, port, error);
  }
  // What a client can use: "all addresses" is none.
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host;
  return `${tlsCert === undefined ? 'http' : 'https'}://${name}:${taken.port}`;
}

function probeRoot(root: string): ProbeResult {
  try {
    return probe(root);
  } catch (error) {
    throw new Complaint(`cannot use the root ${root}: ${reasonOf(error)}`, 1, error);
  }
}

/** Refuses a filesystem that cannot carry a gateway, and says what is done differently on a lesser one. */
function tellFilesystem(found: ProbeResult, config: Config, log: Log): void {
  const { root, metadata } = config;
  if (!found.writable) throw new Complaint(`cannot write in the root ${root} (${found.reason ?? 'EIO'})`);
  if (!found.openat2) throw new Complaint(`the kernel has no openat2 for ${root}: Tidegate needs Linux 5.6 or later`);
  if (!found.xattr.supported) {
    if (metadata === 'xattr') {
      throw new Complaint(
        `${root} (${found.filesystem}) has no user attributes, and metadata is set to xattr: set it to auto or sidecar`,
        2,
      );
    }
    if (metadata === 'auto') {
      log.warn(`${root} (${found.filesystem}) has no user attributes: S3 metadata goes to sidecar files`);
    }
  }
  if (!found.flock) log.warn(`${root} (${found.filesystem}) has no flock: run one gateway only on this root`);
}
