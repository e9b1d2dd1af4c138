/** `wrk`, and for HEAD `heads.c`: a load generator in C takes little from the two cores that are measured. */
import { writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { mustRun } from '../support/programs.js';
import { tempDir } from '../support/temp.js';
import { compiled } from './compiled.js';
import { present } from './process.js';
import type { Work } from './row.js';
import { type Address, type Call, drive, type Limits } from './wire.js';

/** Sends the requests of a file in turn; each stands behind a line with its length. */
const script = `
local calls, n, at = {}, 0, 0
function init(args)
  local file = assert(io.open(args[1], 'rb'))
  while true do
    local line = file:read('*l')
    if not line then break end
    n = n + 1
    calls[n] = file:read(tonumber(line))
  end
  file:close()
end
function request()
  at = at % n + 1
  return calls[at]
end
function done(summary)
  local e = summary.errors
  io.write(string.format('RESULT %d %d %d %d %d\\n', summary.requests, summary.duration, summary.bytes, e.status,
    e.connect + e.read + e.write + e.timeout))
end
`;

let files: { script: string; calls: string } | undefined;
let have: boolean | undefined;

/** wrk may be missing: then the driver of this process does it, which costs more. */
export const haveWrk = (): boolean => (have ??= present('wrk'));

/** The calls in a file, for a program; the script that has wrk read it. */
function written(calls: readonly Call[]): NonNullable<typeof files> {
  if (!files) {
    const dir = tempDir('tidegate-wrk-');
    files = { script: join(dir, 'calls.lua'), calls: join(dir, 'calls') };
    writeFileSync(files.script, script);
  }
  writeFileSync(files.calls, Buffer.concat(calls.flatMap(({ bytes }) => [Buffer.from(`${bytes.length}\n`), bytes])));
  return files;
}

/** HEAD, which wrk does not know: it would wait for the body. This process does it where there is no compiler. */
async function blastHeads(address: Address, calls: readonly Call[], limits: Required<Limits>): Promise<Work> {
  const program = isIPv4(address.host) ? await compiled('heads') : undefined;
  if (program === undefined) return drive(address, calls, limits);
  const args = [address.host, address.port, written(calls).calls, limits.connections, limits.seconds].map(String);
  const { stdout } = await mustRun(program, args, { seconds: limits.seconds + 60 });
  const [operations, ns] = stdout.trim().split(' ').map(Number);
  return { operations: operations!, bytes: 0, seconds: ns! / 1e9 };
}

/** Small requests for a time. wrk counts whole seconds. */
export async function blast(address: Address, calls: readonly Call[], limits: Required<Limits>): Promise<Work> {
  if (calls[0]?.head) return blastHeads(address, calls, limits);
  if (!haveWrk()) return drive(address, calls, limits);
  const files = written(calls);
  const seconds = Math.max(1, Math.round(limits.seconds));
  const url = `http://${address.host}:${address.port}`;
  const args = ['-t1', `-c${limits.connections}`, `-d${seconds}s`, '-s', files.script, url, '--', files.calls];
  const { stdout } = await mustRun('wrk', args, { seconds: seconds + 30 });
  const result = /^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(stdout)?.slice(1).map(Number);
  const [operations, us, bytes, refused, failed] = result ?? [];
  if (!operations || us === undefined || bytes === undefined) throw new Error(`wrk measured nothing:\n${stdout}`);
  if (refused || failed) throw new Error(`${refused} answers were no 2xx, ${failed} connections failed`);
  return { operations, bytes, seconds: us / 1e6 };
}
