/**
 * The directories of the watched buckets as inotify knows them: a tree of nodes, one for each watched directory of each
 * bucket. A renamed directory keeps its watch descriptor, so paths are never stored but read off the tree.
 */
import { removeWatch } from '../gateway/storage/posix/inotify.js';

export interface WatchRoot {
  /** The bucket's number between the thread and its owner. */
  id: number;
  /** Bytes of the absolute path. */
  path: Buffer;
  node: WatchNode;
  /** Of the directory that was found there; undefined while there is none. */
  found?: { dev: number; ino: bigint };
  /** Its first walk has ended. */
  ready: boolean;
  /** Directories are missing because `max_user_watches` is reached. */
  full: boolean;
  /** That was told. */
  fullTold: boolean;
  /** A walk of everything runs, and why; `again`: another one has to follow. */
  rewalk?: { why: string; again?: string };
  /** When to look after it next (`performance.now`). */
  checkAt: number;
}

export interface WatchNode {
  name: string;
  /** Undefined: the bucket's own directory, or one that is not in the tree at the moment. */
  parent: WatchNode | undefined;
  root: WatchRoot;
  /** 0: not watched. */
  wd: number;
  children: Map<string, WatchNode> | undefined;
  /** The same directory in another bucket's tree. */
  twin: WatchNode | undefined;
}

export const newNode = (root: WatchRoot, name: string): WatchNode => ({
  name,
  parent: undefined,
  root,
  wd: 0,
  children: undefined,
  twin: undefined,
});

export const newRoot = (id: number, path: string, checkAt: number): WatchRoot => {
  const root: Omit<WatchRoot, 'node'> = {
    id,
    path: Buffer.from(path),
    ready: false,
    full: false,
    fullTold: false,
    checkAt,
  };
  return Object.assign(root, { node: newNode(root as WatchRoot, '') });
};

/** '' or `a/b/`, bytes; undefined for what is not in the tree. */
export const pathOf = (node: WatchNode): string | undefined => {
  let path = '';
  let at = node;
  for (; at.parent; at = at.parent) path = `${at.name}/${path}`;
  return at === at.root.node ? path : undefined;
};

const isWithin = (node: WatchNode, above: WatchNode): boolean => {
  for (let at: WatchNode | undefined = node; at; at = at.parent) if (at === above) return true;
  return false;
};

/** How long a directory that has left its place may turn up at another before its watches are ended. */
const LIMBO_MS = 1_000;

export interface WatchTree {
  /** The nodes of a watch descriptor: one for each bucket that the directory is in. */
  nodesOf(wd: number): Iterable<WatchNode>;
  /**
   * What the kernel says: the directory `name` of `parent` has this watch descriptor. Finds or makes its node there, moves it
   * there when it was elsewhere. Undefined where the directory is one of those above it (a bind mount).
   */
  place(parent: WatchNode, name: string, wd: number): WatchNode | undefined;
  /** The same of a bucket's own directory. */
  placeRoot(root: WatchRoot, wd: number): WatchNode;
  /** Takes a node out of its place; it may come back (`attach`, `place`) within a second. */
  detach(node: WatchNode): void;
  /** False where the parent stands below the node: the tree is no longer that of the filesystem, and has to be walked. */
  attach(node: WatchNode, parent: WatchNode, name: string): boolean;
  /** The kernel has ended this watch. */
  ended(wd: number): void;
  /** Ends all watches below a node, and its own. */
  drop(node: WatchNode): void;
  /** Drops what was detached long enough ago. */
  expire(now: number): void;
  /** Something was detached: call `expire` within a second. */
  readonly waiting: boolean;
}

/** @param inotify the instance that the watch descriptors are of */
export function watchTree(inotify: number): WatchTree {
  const byWd = new Map<number, WatchNode>();
  const limbo = new Map<WatchNode, number>();

  const nodeIn = (root: WatchRoot, wd: number): WatchNode | undefined => {
    let node = byWd.get(wd);
    while (node && node.root !== root) node = node.twin;
    return node;
  };

  const bind = (node: WatchNode, wd: number): void => {
    node.wd = wd;
    node.twin = byWd.get(wd);
    byWd.set(wd, node);
  };

  /** Forgets the node's watch, and ends it where no other bucket has it. */
  const unbind = (node: WatchNode): void => {
    const { wd } = node;
    if (wd === 0) return;
    node.wd = 0;
    const first = byWd.get(wd);
    if (first === node) {
      if (node.twin) byWd.set(wd, node.twin);
      else {
        byWd.delete(wd);
        removeWatch(inotify, wd);
      }
    } else {
      let before = first;
      while (before && before.twin !== node) before = before.twin;
      if (before) before.twin = node.twin;
    }
    node.twin = undefined;
  };

  const detach = (node: WatchNode): void => {
    node.parent?.children?.delete(node.name);
    node.parent = undefined;
    limbo.set(node, performance.now() + LIMBO_MS);
  };

  const attach = (node: WatchNode, parent: WatchNode, name: string): boolean => {
    if (isWithin(parent, node)) return false;
    const standing = parent.children?.get(name);
    if (standing && standing !== node) detach(standing);
    node.parent?.children?.delete(node.name);
    limbo.delete(node);
    node.name = name;
    node.parent = parent;
    (parent.children ??= new Map()).set(name, node);
    return true;
  };

  const drop = (top: WatchNode): void => {
    top.parent?.children?.delete(top.name);
    top.parent = undefined;
    limbo.delete(top);
    const stack = [top];
    for (let node = stack.pop(); node; node = stack.pop()) {
      unbind(node);
      if (node.children) for (const child of node.children.values()) stack.push(child);
      node.children = undefined;
    }
  };

  return {
    *nodesOf(wd) {
      for (let node = byWd.get(wd); node; ) {
        // What is done with the node may change the chain.
        const { twin } = node;
        yield node;
        node = twin;
      }
    },
    place(parent, name, wd) {
      const known = nodeIn(parent.root, wd);
      const standing = parent.children?.get(name);
      if (known) {
        if (known === standing) return known;
        return attach(known, parent, name) ? known : undefined;
      }
      // Its watch had ended, so another directory has come into the place.
      if (standing && standing.wd === 0) {
        bind(standing, wd);
        return standing;
      }
      const node = newNode(parent.root, name);
      bind(node, wd);
      attach(node, parent, name);
      return node;
    },
    placeRoot(root, wd) {
      if (root.node.wd === wd) return root.node;
      drop(root.node);
      root.node = newNode(root, '');
      const known = nodeIn(root, wd);
      if (known) drop(known);
      bind(root.node, wd);
      return root.node;
    },
    detach,
    attach,
    ended(wd) {
      let node = byWd.get(wd);
      byWd.delete(wd);
      while (node) {
        const { twin } = node;
        node.wd = 0;
        node.twin = undefined;
        node = twin;
      }
    },
    drop,
    expire(now) {
      for (const [node, until] of limbo) if (until <= now) drop(node);
    },
    get waiting() {
      return limbo.size > 0;
    },
  };
}
