/** The tree of watched directories, told things that are no longer so. */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { IN_CREATE, inotifyInit, tryWatchDirectory } from '../../gateway/storage/posix/inotify.js';
import { newRoot, pathOf, watchTree } from '../../sync/watch-tree.js';
import { tempDir } from '../support/temp.js';

const test = suite('watch-tree');

test('a directory that is moved into one that stood in it, unseen, leaves no ring behind', () => {
  const path = tempDir();
  mkdirSync(join(path, 'a/b'), { recursive: true });
  const inotify = inotifyInit();
  const watch = (dir: string): number => {
    const fd = openSync(join(path, dir), 'r');
    try {
      return tryWatchDirectory(inotify, fd, IN_CREATE);
    } finally {
      closeSync(fd);
    }
  };
  try {
    const tree = watchTree(inotify);
    const root = newRoot(1, path, 0);
    const top = tree.placeRoot(root, watch(''));
    const a = tree.place(top, 'a', watch('a'))!;
    const b = tree.place(a, 'b', watch('a/b'))!;
    // `a/b` has become `b`, which an overflow took from us; now `a` goes into it.
    tree.detach(a);
    assert.is(tree.attach(a, b, 'a'), false);
    assert.is(pathOf(a), undefined);
    assert.is(pathOf(b), undefined);
    // A walk finds where they are.
    assert.is(tree.place(top, 'b', b.wd), b);
    assert.is(tree.place(b, 'a', a.wd), a);
    assert.is(pathOf(a), 'b/a/');
  } finally {
    closeSync(inotify);
  }
});

test.run();
