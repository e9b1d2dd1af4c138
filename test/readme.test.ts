/** The README says what the code does. */
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { settingsMarkdown } from '../gateway/config.js';

const readme = readFileSync('README.md', 'utf8');

test('the table of settings is the one of config.ts', () => {
  assert.ok(readme.includes(settingsMarkdown().trim()), 'put the output of settingsMarkdown() into README.md');
});

test('files that are named exist', () => {
  const named = [
    ...`${readme}${readFileSync('CONTRIBUTING.md', 'utf8')}`.matchAll(
      /`((?:examples|test|gateway|acl)\/[\w./-]+\.\w+)`/g,
    ),
  ];
  assert.ok(named.length > 5);
  for (const [, path] of named) {
    assert.ok(existsSync(path!), `${path} does not exist`);
  }
});

test.run();
