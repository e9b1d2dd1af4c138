/** As whom a thread works when it cannot become somebody. */
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { acting, as, become, canSwitch } from '../../../gateway/storage/posix/identity.js';
import { AT_FDCWD, close, O_RDONLY, tryOpenat2 } from '../../../gateway/storage/posix/syscalls.js';
import { tempDir } from '../../support/temp.js';

/** uid, gid and groups for files, as the kernel has them for this thread. */
const kernel = (): { uid: number; gid: number; groups: number[] } => {
  const status = readFileSync('/proc/thread-self/status', 'utf8');
  const numbers = (name: string) => new RegExp(`^${name}:(.*)$`, 'm').exec(status)![1]!.trim().split(/\s+/).map(Number);
  const groups = /^Groups:\s*$/m.test(status) ? [] : numbers('Groups');
  return { uid: numbers('Uid')[3]!, gid: numbers('Gid')[3]!, groups };
};

(canSwitch ? test : test.skip)('the first whom a thread becomes has all his groups', () => {
  // Whatever it had before: Node's list of ours has the egid also where the kernel's has not, as now.
  process.setgroups!([]);
  as({ uid: 60_031, gid: 60_032, groups: [60_032, 0] }, () => assert.equal(kernel().groups, [0]));
  as({ uid: 60_031, gid: 60_032, groups: [60_032] }, () => assert.equal(kernel().groups, []));
});

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

(canSwitch ? test : test.skip)(
  'the group of files counts without being set once more, and ours is not left behind',
  () => {
    const root = tempDir();
    chmodSync(root, 0o755);
    const ofGroup = (gid: number): string => {
      const path = join(root, `${gid}`);
      writeFileSync(path, 'for the group', { mode: 0o040 });
      chownSync(path, 1, gid);
      return path;
    };
    const [own, first, second] = [0, 60_022, 60_023].map(ofGroup) as [string, string, string];
    const may = (path: string): boolean => {
      const fd = tryOpenat2(AT_FDCWD, path, O_RDONLY);
      if (fd >= 0) close(fd);
      return fd >= 0;
    };
    const users = [[60_022], [], [60_022, 60_023], [60_023], [0]].map((groups) => ({
      uid: 60_021,
      gid: 60_022,
      groups,
    }));
    const rights = () => users.map((user) => as(user, () => [own, first, second].map(may)));
    const expected = [
      [false, true, false],
      [false, true, false],
      [false, true, true],
      [false, true, true],
      [true, true, false],
    ];
    assert.equal(rights(), expected);
    assert.ok([own, first, second].every(may), 'itself again');
    assert.equal(rights(), expected);
    as(users[2], () => assert.equal(kernel().groups, [60_023]));
    as(users[0], () => assert.equal(kernel().groups, []));
  },
);

test.run();
