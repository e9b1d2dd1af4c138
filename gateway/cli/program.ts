/** What the command `tidegate` has. */
import type { Command } from 'commander';
import { addAccountCommands, addGroupCommands } from './accounts.js';
import { addBucketSettingCommands, addRoleCommands } from './bucket-settings.js';
import { addBucketCommands } from './buckets.js';
import { addCheckCommand } from './check.js';
import { addEventCommands } from './events.js';
import { addExplainCommand } from './explain.js';
import { addInventoryCommand } from './inventory.js';
import { addKeyCommands } from './keys.js';
import { addPolicyCommands } from './policies.js';
import { createProgram, subCommand } from './run.js';
import { addServeCommand } from './serve.js';
import { addSyncCommand } from './sync.js';
import { addUsageCommand } from './usage.js';
import { addWebhookCommands } from './webhooks.js';

export function tidegate(): Command {
  const program = createProgram('tidegate', 'An S3 service over a POSIX or Lustre filesystem.');
  addServeCommand(program);
  addAccountCommands(subCommand(program, 'account', 'accounts: who may be somebody here'));
  addGroupCommands(subCommand(program, 'group', 'groups of accounts'));
  addKeyCommands(subCommand(program, 'key', 'access keys and their accounts'), 'tidegate key');
  const bucket = subCommand(program, 'bucket', 'buckets');
  addBucketCommands(bucket, 'tidegate bucket');
  addBucketSettingCommands(bucket);
  addRoleCommands(subCommand(program, 'role', 'what accounts may do in buckets of others'));
  addSyncCommand(program);
  addUsageCommand(program);
  addInventoryCommand(program);
  addEventCommands(subCommand(program, 'events', 'what changes in buckets'));
  addWebhookCommands(subCommand(program, 'webhook', 'where events of buckets may be sent'));
  addPolicyCommands(subCommand(program, 'policy', 'policies of accounts and policy groups (IAM)'));
  addExplainCommand(program);
  addCheckCommand(program);
  return program;
}
