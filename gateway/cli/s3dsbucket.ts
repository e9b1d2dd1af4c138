#!/usr/bin/env node
/** The command `s3dsbucket`. */
import { addBucketCommands } from './buckets.js';
import { createProgram, run } from './run.js';

const program = createProgram('s3dsbucket', 'Buckets of the S3 service, also while gateways run.');
addBucketCommands(program, 's3dsbucket');
await run(program);
