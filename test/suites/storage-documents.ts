/** The service's own small documents. */
import * as assert from 'uvu/assert';
import type { Tests } from './storage.js';

export const documentTests: Tests = (test, bench) => {
  test('a document is made once, changed, deleted', async () => {
    const { documents } = bench.storage;
    assert.is(await documents.get('keys', 'one'), undefined);
    assert.is(await documents.create('keys', 'one', { n: 1, text: 'ü' }), true);
    assert.is(await documents.create('keys', 'one', { n: 2 }), false);
    assert.equal(await documents.get('keys', 'one'), { n: 1, text: 'ü' });
    assert.is(await documents.get('accounts', 'one'), undefined, 'kinds are apart');
    const changed = await documents.update<{ n: number }>('keys', 'one', (current) => ({
      ...current,
      n: current.n + 1,
    }));
    assert.equal(changed, { n: 2, text: 'ü' });
    assert.equal(await documents.get('keys', 'one'), { n: 2, text: 'ü' });
    assert.is(await documents.update('keys', 'one', () => undefined), undefined);
    assert.is(await documents.get('keys', 'one'), undefined);
    assert.is(await documents.update('keys', 'one', () => ({ n: 9 })), undefined, 'nothing to change');
    assert.is(await documents.get('keys', 'one'), undefined);
  });

  test('changing what was handed in or out does not change the document', async () => {
    const { documents } = bench.storage;
    const value = { list: [1] };
    await documents.create('service', 'mine', value);
    value.list.push(2);
    const handedOut = await documents.get<{ list: number[] }>('service', 'mine');
    try {
      handedOut?.list.push(3);
    } catch {
      // Frozen: as good.
    }
    assert.equal(await documents.get('service', 'mine'), { list: [1] });
  });

  test('a change that throws changes nothing', async () => {
    const { documents } = bench.storage;
    await documents.create('service', 'steady', { n: 1 });
    const veto = new Error('no');
    const outcome = await documents
      .update('service', 'steady', () => {
        throw veto;
      })
      .catch((error: unknown) => error);
    assert.is(outcome, veto);
    assert.equal(await documents.get('service', 'steady'), { n: 1 });
    assert.equal(await documents.update<{ n: number }>('service', 'steady', ({ n }) => ({ n: n + 1 })), { n: 2 });
  });

  test('changes at once are all done, creators at once make one', async () => {
    const { documents } = bench.storage;
    const made = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((n) => documents.create('service', 'counter', { n: 0, by: n })),
    );
    assert.is(made.filter(Boolean).length, 1);
    await Promise.all(
      Array.from({ length: 25 }, () =>
        documents.update<{ n: number }>('service', 'counter', (current) => ({ ...current, n: current.n + 1 })),
      ),
    );
    assert.is((await documents.get<{ n: number }>('service', 'counter'))?.n, 25);
  });

  test('all documents of a kind', async () => {
    const { documents } = bench.storage;
    assert.equal(await documents.list('accounts'), []);
    for (const id of ['b', 'a', 'A-1', 'c.d_e']) await documents.create('accounts', id, { id });
    assert.equal(
      await documents.list('accounts'),
      ['A-1', 'a', 'b', 'c.d_e'].map((id) => ({ id, value: { id } })),
    );
  });
};
