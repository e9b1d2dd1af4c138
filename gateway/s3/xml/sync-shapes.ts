/** The document that BucketSync takes, as S3DS has it, with what is ours besides the operations. */
import { S3Error } from '../../errors.js';
import { child, childText, onlyChildren, readXml } from './read.js';

export interface SyncOperationDocument {
  /** As written: `WRITE,UPDATE`. */
  ops?: string | undefined;
  prefix?: string | undefined;
  dryRun?: boolean | undefined;
  background?: boolean | undefined;
}

/**
 * `<operation><operationTypes>WRITE,UPDATE</operationTypes></operation>`, with `prefix`, `dryRun`, `background` if wanted.
 * @throws S3Error MalformedXML
 */
export function readSyncOperation(bytes: Uint8Array): SyncOperationDocument {
  const root = readXml(bytes, 'operation');
  onlyChildren(root, 'operationTypes', 'prefix', 'dryRun', 'background');
  const flag = (name: string): boolean | undefined => {
    if (!child(root, name)) return undefined;
    const text = childText(root, name);
    if (text === 'true' || text === 'false') return text === 'true';
    throw new S3Error('MalformedXML', { cause: new Error(`${name} is true or false`) });
  };
  return {
    ops: childText(root, 'operationTypes'),
    prefix: childText(root, 'prefix'),
    dryRun: flag('dryRun'),
    background: flag('background'),
  };
}
