/** What replies name themselves by, for whoever looks a request up in the log. */
import { randomBytes, randomFillSync } from 'node:crypto';

/** `x-amz-id-2`: of this process. */
export const hostId = randomBytes(32).toString('base64');

const drawnBytes = Buffer.alloc(4096);
let drawn = drawnBytes.length;

/** `x-amz-request-id`: 16 hex digits. Drawn from the system in one call for many: each call costs as much as a system call. */
export function newRequestId(): string {
  if (drawn === drawnBytes.length) {
    randomFillSync(drawnBytes);
    drawn = 0;
  }
  return drawnBytes.toString('hex', drawn, (drawn += 8)).toUpperCase();
}
