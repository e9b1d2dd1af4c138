#!/usr/bin/env node
/** The command `tidegate`. */
import { addBucketCommands } from './buckets.js';
import { addCheckCommand } from './check.js';
import { addKeyCommands } from './keys.js';
import { createProgram, run, subCommand } from './run.js';
import { addServeCommand } from './serve.js';

const program = createProgram('tidegate', 'An S3 service over a POSIX or Lustre filesystem.');
addServeCommand(program);
addKeyCommands(subCommand(program, 'key', 'access keys and their accounts'), 'tidegate key');
addBucketCommands(subCommand(program, 'bucket', 'buckets'), 'tidegate bucket');
addCheckCommand(program);
await run(program);
