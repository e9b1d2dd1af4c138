/** A gateway of root, with accounts of several POSIX users who share buckets: only where tests run as root. */
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, type S3Client } from '@aws-sdk/client-s3';
import { command, type Gateway, type Key, startGateway } from './gateway.js';
import { sdk } from './sdk.js';

export const isRoot = process.geteuid?.() === 0;

export interface Person extends Key {
  name: string;
  uid: number;
  gid: number;
  client: S3Client;
}

export interface Town {
  gateway: Gateway;
  tidegate(...args: string[]): Promise<string>;
  person(name: string, uid: number, gid: number, groups?: readonly number[]): Promise<Person>;
  /** A bucket of `owner` in which the others may read and write as far as S3 is concerned; its path. */
  bucket(name: string, owner: Person, actAs: 'owner' | 'requester', others: readonly Person[]): Promise<string>;
  close(): Promise<number | null>;
}

export async function startTown(flags: readonly string[] = []): Promise<Town> {
  const gateway = await startGateway({ flags });
  // A temporary directory is closed to others, the root of a service is not.
  chmodSync(gateway.root, 0o755);
  const tidegate = (...args: string[]) => command('tidegate', args, gateway.root);
  const clients: S3Client[] = [];
  return {
    gateway,
    tidegate,
    async person(name, uid, gid, groups = []) {
      const who = ['--uid', `${uid}`, '--gid', `${gid}`, ...(groups.length ? ['--groups', groups.join(',')] : [])];
      const { uuid } = JSON.parse(
        await tidegate('account', 'create', '--name', name, '--group', 'g', ...who, '--json'),
      );
      const { accesskey, secretkey } = JSON.parse(await tidegate('key', 'create', '--account', name, '--json'));
      const key = { accessKey: accesskey, secretKey: secretkey, uuid };
      const client = sdk(gateway, { key });
      clients.push(client);
      return { ...key, name, uid, gid, client };
    },
    async bucket(name, owner, actAs, others) {
      await owner.client.send(new CreateBucketCommand({ Bucket: name }));
      for (const each of others) await tidegate('role', 'grant', name, '--account', each.name, '--role', 'writer');
      if (actAs === 'requester') await tidegate('bucket', 'set', name, '--act-as', actAs);
      return join(gateway.root, owner.uuid, name);
    },
    close() {
      for (const client of clients) client.destroy();
      return gateway.stop();
    },
  };
}
