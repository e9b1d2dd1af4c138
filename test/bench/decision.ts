/**
 * What a decision costs: a bucket policy of 20 statements with principals, patterns, a variable and three conditions each,
 * none of which decides, so that all are asked. Prints microseconds of processor time for one decision:
 *
 *     npm run build && node dist/test/bench/decision.js
 */
import { fileURLToPath } from 'node:url';
import { evaluate } from '../../acl/policy/evaluate.js';
import { parsePolicy } from '../../acl/policy/parse.js';
import { resourceArn } from '../../acl/policy/types.js';
import { alice } from '../acl/people.js';

const statement = (at: number) => ({
  Sid: `s${at}`,
  Effect: at % 5 === 4 ? 'Deny' : 'Allow',
  Principal: { AWS: [`id-${at}`, 'arn:aws:iam::users:root', `arn:aws:iam::g:user/u${at}`] },
  Action: ['s3:Get*', 's3:PutObject'],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: so look the variables of policies
  Resource: [`b/project-${at}/*`, `b/*/${at}.nc`, 'b/home/${aws:username}/*'],
  Condition: {
    IpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '2001:db8::/32'] },
    StringLike: { 'aws:UserAgent': ['*boto*', `agent-${at}/*`] },
    DateGreaterThan: { 'aws:CurrentTime': '2026-01-01T00:00:00Z' },
  },
});

/** The best of five runs of so many decisions, and what was decided. Processor time: the machine may have other work. */
export function measureDecision(rounds: number): { microseconds: number; deciding: string } {
  const document = { Version: '2012-10-17', Statement: Array.from({ length: 20 }, (_, at) => statement(at)) };
  const policy = parsePolicy(JSON.stringify(document), { bucket: 'b' });
  const request = (at: number) => ({
    identity: alice,
    action: 's3:GetObject',
    resource: resourceArn({ bucket: 'b', key: `home/alice/some/long/key/of/a/file-${at}.nc` }),
    bucketOwner: 'id-owner',
    // Another address and agent each time: nothing may be answered from memory.
    context: new Map([
      ['aws:sourceip', [`11.1.1.${at % 256}`]],
      ['aws:useragent', [`rclone/1.${at}`]],
      ['aws:currenttime', ['2026-06-01T00:00:00.000Z']],
    ]),
  });
  const requests = Array.from({ length: rounds }, (_, at) => request(at));
  let deciding = '';
  const once = () => {
    const start = process.cpuUsage();
    for (const each of requests) deciding = evaluate(policy, each).effect;
    const { user, system } = process.cpuUsage(start);
    return (user + system) / rounds;
  };
  once();
  return { microseconds: Math.min(...Array.from({ length: 5 }, once)), deciding };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(`${measureDecision(20_000).microseconds.toFixed(1)} µs a decision`);
}
