/** Watches the directory given and prints what it is told, a line each; ends with its standard input. */
import { createWatcher } from '../../sync/watch.js';

const source = createWatcher({ debounceMs: 20, modifyMs: 100 }).source(process.argv[2]!);
await source.start({
  hint: ({ dir, name = '*', deep }) => console.log(`${dir}|${name}${deep ? ' deep' : ''}`),
  lost: (dir, why) => console.log(`lost ${dir}| ${why}`),
});
console.log('ready');
process.stdin.on('close', () => process.exit(0)).resume();
