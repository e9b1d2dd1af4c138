/** The document NotificationConfiguration. */
import { createHash } from 'node:crypto';
import {
  type DestinationKind,
  type Notifiable,
  type Notification,
  notifiable,
  overlap,
} from '../../../sync/notification.js';
import { invalidArgument, notImplemented, S3Error } from '../../errors.js';
import type { XmlValue } from '../types.js';
import { child, childText, onlyChildren, readXml, type XmlElement } from './read.js';

const malformed = (why: string): S3Error => new S3Error('MalformedXML', { cause: new Error(why) });
const invalid = (message: string, name = 'Notification', value = ''): S3Error => invalidArgument(name, value, message);

const kinds: readonly DestinationKind[] = ['Topic', 'Queue', 'CloudFunction'];
/** "The maximum number of notification configurations is 100." */
const maxConfigurations = 100;

/**
 * @param since milliseconds since the epoch, for what is new
 * @throws S3Error MalformedXML, InvalidArgument, NotImplemented
 */
export function readNotificationConfiguration(bytes: Uint8Array, since: number): Notification[] {
  const root = readXml(bytes, 'NotificationConfiguration');
  onlyChildren(root, ...kinds.map((kind) => `${kind}Configuration`), 'EventBridgeConfiguration');
  if (child(root, 'EventBridgeConfiguration')) throw notImplemented('Delivery to EventBridge is not implemented');
  const found = root.children.map((element) => readOne(element, since));
  if (found.length > maxConfigurations) throw invalid(`More than ${maxConfigurations} notification configurations`);
  const ids = new Set(found.map(({ id }) => id));
  if (ids.size < found.length) throw invalid('Same ID used for multiple configurations. IDs must be unique');
  found.forEach((one, at) => {
    for (const other of found.slice(0, at)) if (overlap(one, other)) throw overlapping(one, other);
  });
  return found;
}

function overlapping(...both: readonly Notification[]): S3Error {
  const filtered = both.some(({ prefix, suffix }) => prefix !== '' || suffix !== '');
  return invalid(
    filtered
      ? 'Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.'
      : 'Configurations overlap. Configurations on the same bucket cannot share a common event type.',
  );
}

function readOne(element: XmlElement, since: number): Notification {
  const kind = kinds.find((each) => element.name === `${each}Configuration`)!;
  onlyChildren(element, 'Id', kind, 'Event', 'Filter');
  const arn = childText(element, kind)?.trim();
  if (!arn) throw malformed(`${element.name} without ${kind}`);
  const events = element.children.filter(({ name }) => name === 'Event').map(readEvent);
  if (events.length === 0) throw malformed(`${element.name} without Event`);
  const filter = readFilter(child(element, 'Filter'));
  const what = { kind, arn, events, ...filter };
  // Of the content: what is put again without an Id is the same configuration, and goes on where it was.
  const id = childText(element, 'Id') || createHash('sha256').update(JSON.stringify(what)).digest('hex').slice(0, 32);
  if (id.length > 255) throw invalid('The Id must not be longer than 255 characters', 'Id', id);
  return { id, ...what, since };
}

function readEvent({ text, children }: XmlElement): Notifiable {
  const event = notifiable.find((each) => each === text.trim());
  if (event && children.length === 0) return event;
  throw invalid('The event is not supported for notifications', 'Event', text.trim());
}

function readFilter(element: XmlElement | undefined): { prefix: string; suffix: string } {
  const rules = { prefix: '', suffix: '' };
  if (!element) return rules;
  onlyChildren(element, 'S3Key');
  const key = child(element, 'S3Key');
  if (!key) return rules;
  onlyChildren(key, 'FilterRule');
  const seen = new Set<string>();
  for (const rule of key.children) {
    onlyChildren(rule, 'Name', 'Value');
    const name = childText(rule, 'Name')?.trim().toLowerCase();
    const value = childText(rule, 'Value');
    if (name !== 'prefix' && name !== 'suffix') {
      throw invalid('filter rule name must be either prefix or suffix', 'FilterRule.Name', name);
    }
    if (seen.has(name))
      throw invalid(`Cannot specify more than one ${name} rule in a filter.`, 'FilterRule.Name', name);
    if (value === undefined) throw malformed('FilterRule without Value');
    if (value.length > 1024)
      throw invalid('Size of filter rule value cannot exceed 1024 bytes in UTF-8', 'FilterRule.Value');
    seen.add(name);
    rules[name] = value;
  }
  return rules;
}

export function notificationConfiguration(found: readonly Notification[]): { [root: string]: XmlValue } {
  const of = (kind: DestinationKind): XmlValue[] =>
    found
      .filter((each) => each.kind === kind)
      .map(({ id, arn, events, prefix, suffix }) => {
        const rules = [
          { Name: 'Prefix', Value: prefix },
          { Name: 'Suffix', Value: suffix },
        ].filter(({ Value }) => Value !== '');
        return {
          Id: id,
          [kind]: arn,
          Event: [...events],
          Filter: rules.length === 0 ? undefined : { S3Key: { FilterRule: rules } },
        };
      });
  return { NotificationConfiguration: Object.fromEntries(kinds.map((kind) => [`${kind}Configuration`, of(kind)])) };
}
