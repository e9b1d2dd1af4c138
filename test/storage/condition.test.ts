import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { S3Error } from '../../gateway/errors.js';
import { type Current, checkWrite } from '../../gateway/storage/condition.js';
import type { WriteCondition } from '../../gateway/storage/types.js';

const test = suite('condition');
const there: Current = { etag: 'aa', size: 3, lastModified: 1_700_000_000_999 };

/** What comes of it: 'ok', or the code and the condition named. */
function outcome(condition: WriteCondition | undefined, current: Current | undefined): string {
  try {
    checkWrite(condition, current);
    return 'ok';
  } catch (error) {
    if (!(error instanceof S3Error)) throw error;
    return [error.code, error.fields['Condition']].filter(Boolean).join(' ');
  }
}

const rows: [WriteCondition | undefined, whenThere: string, whenAbsent: string][] = [
  [undefined, 'ok', 'ok'],
  [{}, 'ok', 'ok'],
  [{ ifMatch: 'aa' }, 'ok', 'NoSuchKey'],
  [{ ifMatch: '*' }, 'ok', 'NoSuchKey'],
  [{ ifMatch: 'bb' }, 'PreconditionFailed If-Match', 'NoSuchKey'],
  [{ ifMatch: '' }, 'PreconditionFailed If-Match', 'NoSuchKey'],
  [{ ifNoneMatch: '*' }, 'PreconditionFailed If-None-Match', 'ok'],
  [{ ifNoneMatch: 'aa' }, 'PreconditionFailed If-None-Match', 'ok'],
  [{ ifNoneMatch: 'bb' }, 'ok', 'ok'],
  [{ ifMatchSize: 3 }, 'ok', 'NoSuchKey'],
  [{ ifMatchSize: 0 }, 'PreconditionFailed x-amz-if-match-size', 'NoSuchKey'],
  [{ ifMatchLastModified: 1_700_000_000 }, 'ok', 'NoSuchKey'],
  [{ ifMatchLastModified: 1_700_000_001 }, 'PreconditionFailed x-amz-if-match-last-modified-time', 'NoSuchKey'],
  [{ ifMatch: 'aa', ifMatchSize: 4 }, 'PreconditionFailed x-amz-if-match-size', 'NoSuchKey'],
];

for (const [condition, whenThere, whenAbsent] of rows) {
  test(JSON.stringify(condition) ?? 'no condition', () => {
    assert.is(outcome(condition, there), whenThere);
    assert.is(outcome(condition, undefined), whenAbsent);
  });
}

test.run();
