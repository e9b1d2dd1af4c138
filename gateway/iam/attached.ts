/** Managed and inline policies of users and of groups: the same calls for both. */
import { detach, getInline, type Holder, putInline, removeInline } from '../../acl/iam/holders.js';
import { userName } from '../../acl/iam/names.js';
import type { XmlValue } from '../s3/types.js';
import { page } from './params.js';
import { attachedShape, encoded, members } from './shapes.js';
import type { IamContext, IamHandler } from './types.js';

interface Kind {
  read(context: IamContext): Promise<Holder>;
  /** Changes what stands at that moment. */
  update(context: IamContext, change: <T extends Holder>(holder: T) => T): Promise<unknown>;
  attach(context: IamContext, arn: string): Promise<void>;
  named(context: IamContext): { [name: string]: XmlValue };
  /** Characters of all inline policies. */
  most: number;
}

const ofUser: Kind = {
  read: async ({ user }) => user(),
  update: ({ registry, user }, change) => registry.iam.updateUser(user(), change),
  attach: ({ registry, user }, arn) => registry.iam.attachToUser(user(), arn),
  named: ({ user }) => ({ UserName: userName(user()) }),
  most: 2048,
};

const ofGroup: Kind = {
  read: ({ registry, namespace, need }) => registry.iam.groups.get(namespace, need('GroupName')),
  update: ({ registry, namespace, need }, change) => registry.iam.groups.update(namespace, need('GroupName'), change),
  attach: ({ registry, namespace, need }, arn) => registry.iam.attachToGroup(namespace, need('GroupName'), arn),
  named: ({ need }) => ({ GroupName: need('GroupName') }),
  most: 5120,
};

/** The seven calls about the policies of one kind of holder. */
function calls(
  kind: Kind,
): Record<'attach' | 'detach' | 'listAttached' | 'put' | 'get' | 'list' | 'remove', IamHandler> {
  return {
    async attach(context) {
      // Whether it is there comes first: an unknown holder is told before an unknown policy.
      await kind.read(context);
      await kind.attach(context, context.need('PolicyArn'));
      return undefined;
    },
    async detach(context) {
      const arn = context.need('PolicyArn');
      await kind.update(context, (holder) => detach(holder, arn));
      return undefined;
    },
    async listAttached(context) {
      const { policies = [] } = await kind.read(context);
      const prefix = context.params.get('PathPrefix') ?? '/';
      const pathOf = (arn: string) => arn.slice(arn.indexOf(':policy/') + ':policy'.length);
      const wanted = [...policies].sort().filter((arn) => pathOf(arn).startsWith(prefix));
      const { items, ...rest } = page(wanted, context.params, (arn) => arn);
      return { AttachedPolicies: members(items.map(attachedShape)), ...rest };
    },
    async put(context) {
      const policy = { name: context.need('PolicyName'), document: context.need('PolicyDocument') };
      await kind.read(context);
      await kind.update(context, (holder) => putInline(holder, policy, kind.most));
      return undefined;
    },
    async get(context) {
      const { name, document } = getInline(await kind.read(context), context.need('PolicyName'));
      return { ...kind.named(context), PolicyName: name, PolicyDocument: encoded(document) };
    },
    async list(context) {
      const names = ((await kind.read(context)).inline ?? []).map(({ name }) => name);
      const { items, ...rest } = page(names, context.params, (name) => name);
      return { PolicyNames: members(items), ...rest };
    },
    async remove(context) {
      const name = context.need('PolicyName');
      await kind.update(context, (holder) => removeInline(holder, name));
      return undefined;
    },
  };
}

export const userPolicies = calls(ofUser);
export const groupPolicies = calls(ofGroup);
