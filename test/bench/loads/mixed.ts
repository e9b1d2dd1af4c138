/** Requests beside a listing: nobody waits for somebody else's. */
import type { Subject } from '../gateway.js';
import { gets, numbered, objects } from '../ground.js';
import { type Bench, measure } from '../measure.js';
import type { Reference } from '../references.js';
import type { Work } from '../row.js';
import type { Call } from '../wire.js';
import { blast } from '../wrk.js';
import { largeBucket, reader } from './listing.js';

export async function mixed(bench: Bench): Promise<void> {
  const limits = { connections: 16, seconds: bench.scale.seconds };
  const small = async (subject: Subject) =>
    gets(subject, await objects(subject, 'small', numbered('s1024-', bench.scale.objects), 1024));
  const alone: Reference = {
    name: 'the same GETs alone',
    async run() {
      const subject = await bench.host.gateway('none');
      return blast(subject, await small(subject), limits);
    },
  };
  /** The calls, and the listing again and again until they are done. */
  const beside = async (subject: Subject, bucket: string, calls: Call[]): Promise<Work> => {
    let over = false;
    const list = async () => {
      const { page, close } = reader(subject);
      try {
        for (let token: string | undefined; !over; ) {
          ({ token } = await page(bucket, token === undefined ? {} : { 'continuation-token': token }));
        }
      } finally {
        close();
      }
    };
    const [work] = await Promise.all([blast(subject, calls, limits).finally(() => (over = true)), list()]);
    return work;
  };
  await measure(
    // A foreign server has no file door to make so many files through.
    { ...bench, other: undefined },
    {
      load: 'GET 1 KiB, 16 conn., beside a listing of everything',
      unit: 'op/s',
      durability: 'none',
      per: 'us/op',
      async ready(subject) {
        const bucket = await largeBucket(bench, subject as Required<Subject>, 'wide', 0);
        const calls = await small(subject);
        return () => beside(subject, bucket, calls);
      },
      compared: async () => [{ to: alone }],
    },
  );
}
