/** Policies that are there for everybody, called as AWS calls its own: `arn:aws:iam::aws:policy/NAME`. */
import { arnOf, parsePolicyArn } from './names.js';
import type { ManagedPolicy } from './policies.js';

/** Their namespace. A group of accounts cannot take its place: its policies are never looked for in documents. */
export const AWS = 'aws';

const made = (name: string, ...allowed: string[]): ManagedPolicy => ({
  id: `ANPA${name.toUpperCase()}`,
  namespace: AWS,
  name,
  path: '/',
  description: '',
  document: JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Action: allowed, Resource: '*' }],
  }),
  created: '2015-02-06T18:40:00.000Z',
});

export const builtIn: readonly ManagedPolicy[] = [
  made('AdministratorAccess', '*'),
  made('AmazonS3FullAccess', 's3:*'),
  made('AmazonS3ReadOnlyAccess', 's3:Get*', 's3:List*'),
  made('IAMFullAccess', 'iam:*'),
  made('IAMReadOnlyAccess', 'iam:Get*', 'iam:List*'),
];

const byArn = new Map(builtIn.map((policy) => [arnOf(AWS, `policy/${policy.name}`), policy]));

export const builtInPolicy = (arn: string): ManagedPolicy | undefined => byArn.get(arn);
export const isBuiltIn = (arn: string): boolean => parsePolicyArn(arn)?.namespace === AWS;
