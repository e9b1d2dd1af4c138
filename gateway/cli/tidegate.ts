#!/usr/bin/env node
/** The command `tidegate`. */
import { launch } from './launch.js';

launch(process.argv.slice(2));
const { tidegate } = await import('./program.js');
const { run } = await import('./run.js');

await run(tidegate());
