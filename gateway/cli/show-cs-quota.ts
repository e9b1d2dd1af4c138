#!/usr/bin/env node
/** The command `show_cs_quota`. */
import { showCsQuota } from './cs-usage.js';
import { run } from './run.js';

await run(showCsQuota());
