/** As whom a thread works when it cannot become somebody. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { acting, as, become, canSwitch } from '../../../gateway/storage/posix/identity.js';

/** uid, gid and groups for files, as the kernel has them for this thread. */
const kernel = (): { uid: number; gid: number; groups: number[] } => {
  const status = readFileSync('/proc/thread-self/status', 'utf8');
  const numbers = (name: string) => new RegExp(`^${name}:(.*)$`, 'm').exec(status)![1]!.trim().split(/\s+/).map(Number);
  return { uid: numbers('Uid')[3]!, gid: numbers('Gid')[3]!, groups: numbers('Groups') };
};

(canSwitch ? test : test.skip)('who cannot become another stays whole who he was', () => {
  const user = { uid: 60_001, gid: 60_002, groups: [60_003] };
  // uid -1 is nobody: the kernel takes the groups and the gid, and then refuses it.
  const nobody = { uid: 0xffff_ffff, gid: 60_012, groups: [60_013] };
  try {
    as(user, () => {
      assert.throws(() => as(nobody, () => assert.unreachable('it became nobody')), /not allowed to act as/);
      assert.equal(kernel(), user);
      assert.equal(acting(), user);
    });
    assert.is(kernel().uid, 0);
  } finally {
    become(undefined);
  }
});

test.run();
