#!/usr/bin/env node
/** The command `s3dskey`. */
import { addKeyCommands } from './keys.js';
import { createProgram, run } from './run.js';

const program = createProgram('s3dskey', 'Access keys of the S3 service: what they change is in force at once.');
addKeyCommands(program, 's3dskey');
await run(program);
