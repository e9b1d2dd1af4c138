#!/usr/bin/env node
/** The command `show_cs_usage`. */
import { showCsUsage } from './cs-usage.js';
import { run } from './run.js';

await run(showCsUsage());
