#!/usr/bin/env node
/** The command `tidegate`. */
import { tidegate } from './program.js';
import { run } from './run.js';

await run(tidegate());
