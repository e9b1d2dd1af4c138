/** As whom the files of a bucket are worked on, through the whole gateway over a store that notes it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nobody, packActAs, unpackActAs } from '../../acl/act-as.js';
import { packRoles } from '../../acl/roles.js';
import { createMemoryStorage } from '../../gateway/storage/memory.js';
import type { Actor, Storage } from '../../gateway/storage/types.js';
import { type Name, startStage } from './stage.js';

const owner: Actor = { uid: 60101, gid: 10, groups: [10] };
const guest: Actor = { uid: 60102, gid: 20, groups: [20, 30] };

test('the owner by default; with actAs requester whoever asks, and the anonymous as nobody', async () => {
  const inner = createMemoryStorage();
  const seen: Actor[] = [];
  const storage: Storage = {
    ...inner,
    open: (at, key) => {
      seen.push(at.actor);
      return inner.open(at, key);
    },
  };
  const account = (name: Name, actor: Actor) => ({
    uuid: `00000000-0000-0000-0000-00000000${name}`,
    displayName: name,
    group: 'g',
    kind: 'user' as const,
    actor,
    fspaths: [],
    enabled: true,
    created: '2026-01-01T00:00:00.000Z',
  });
  const accounts = [account('anna', owner), account('bert', guest)];
  const stage = await startStage({
    storage,
    identities: {
      byAccessKey: async (key) => {
        const found = accounts.find(({ displayName }) => key === `AKIA${displayName.toUpperCase()}`);
        return found && { account: found, secret: `secret-of-${found.displayName}` };
      },
      policiesOf: async () => [],
      byId: async (uuid) => accounts.find((each) => each.uuid === uuid),
    },
  });
  try {
    await stage.send('/bkt', { method: 'PUT' });
    await stage.send('/bkt/key', { method: 'PUT', body: 'x' });
    const bucket = (await storage.bucket('bkt'))!;
    const bindings = [{ account: accounts[1]!.uuid, role: 'reader' as const }];
    await storage.putConfig(bucket, 'roles', JSON.stringify(packRoles({ bindings })));
    const open = { Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: 'bkt/*' };
    await storage.putConfig(bucket, 'policy', JSON.stringify({ Version: '2012-10-17', Statement: [open] }));
    const actors = async () => {
      seen.length = 0;
      for (const as of ['anna', 'bert', null] as const) assert.is((await stage.send('/bkt/key', { as })).status, 200);
      return [...seen];
    };
    assert.equal(await actors(), [owner, owner, owner]);
    await storage.putConfig(bucket, 'actAs', packActAs('requester'));
    assert.equal(await actors(), [owner, guest, nobody]);
    await storage.putConfig(bucket, 'actAs', packActAs('owner'));
    assert.equal(await actors(), [owner, owner, owner]);
  } finally {
    await stage.close();
  }
});

test('what is not understood gives nobody the rights of the owner', () => {
  assert.is(unpackActAs(undefined), 'owner');
  for (const text of ['requester', '', 'root', '{}']) assert.is(unpackActAs(text), 'requester');
});

test.run();
