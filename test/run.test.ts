import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judge, readSummary } from './run.js';

const summary = (total: number, passed: number, skipped: number) =>
  `• • \n\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  1.00ms\n\n`;

test('reads the closing lines, coloured or not', () => {
  assert.equal(readSummary(summary(3, 2, 1)), { passed: 2, failed: 1, skipped: 1 });
  const coloured = '\n  Total:     3\u001b[32m\n  Passed:    3\u001b[39m\n  Skipped:   \u001b[33m2\u001b[39m\n';
  assert.equal(readSummary(coloured), { passed: 3, failed: 0, skipped: 2 });
  assert.is(readSummary('Total: 3'), undefined);
});

test('a before hook that throws leaves exit code 0, and is a failure all the same', () => {
  assert.equal(judge(summary(4, 0, 0), 0, null, undefined), { passed: 0, failed: 4, skipped: 0 });
});

test('a crash, a hang and a missing summary count as one failed', () => {
  assert.is(judge('Error: no', 1, null, undefined).failed, 1);
  assert.is(judge('', 0, null, undefined).failed, 1);
  assert.is(judge(summary(2, 2, 0), 1, null, undefined).failed, 1);
  assert.is(judge(summary(2, 2, 0), null, 'SIGSEGV', undefined).failed, 1);
  const hung = judge('• •', null, 'SIGKILL', 120);
  assert.is(hung.failed, 1);
  assert.match(hung.trouble ?? '', '120 s');
});

test.run();
