import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { meaningOf, parseRecord, splitRecords } from '../../sync/changelog-record.js';

const test = suite('changelog records');
const P = '0x200000007:0x1:0x0';

test('lines of several releases', () => {
  const modern =
    '3 01CREAT 04:27:54.551053189 2024.08.20 0x0 t=[0x2000013a1:0x4:0x0] j=cp.0 ef=0xf u=0:0 nid=0@lo p=[0x2000013a1:0x3:0x0] file with spaces';
  assert.equal(parseRecord(modern), {
    index: 3,
    type: 'CREAT',
    time: '2024.08.20 04:27:54.551053189',
    target: '0x2000013a1:0x4:0x0',
    parent: '0x2000013a1:0x3:0x0',
    name: 'file with spaces',
    sources: [],
  });
  const cases: [string, { parent?: string; name?: string; target?: string }][] = [
    [
      '1 00MARK  15:00:00.1 2018.01.09 0x0 t=[0x10001:0x0:0x0] p=[0:0x0:0x0] mdd_obd-lustre-MDT0000-0',
      { name: 'mdd_obd-lustre-MDT0000-0', target: '0x10001:0x0:0x0' },
    ],
    [
      '2 02MKDIR 15:00:00.1 2018.01.09 0x0 t=[0x200000401:0x2:0x0] p=[0x200000007:0x1:0x0] pics',
      { parent: P, name: 'pics', target: '0x200000401:0x2:0x0' },
    ],
    [
      '3 11CLOSE 15:00:00.1 2018.01.09 0x242 t=[0x200000401:0x2:0x0] j=tmux: server ef=0xf u=500:500 nid=10.1.2.3@o2ib',
      { target: '0x200000401:0x2:0x0' },
    ],
    ['4 16HSM   15:00:00.1 2018.01.09 0x4 t=[0x200000401:0x2:0x0]', { target: '0x200000401:0x2:0x0' }],
    [
      '5 15XATTR 15:00:00.1 2018.01.09 0x0 t=[0x200000401:0x2:0x0] ef=0xf u=0:0 nid=0@lo x=user.a b',
      { target: '0x200000401:0x2:0x0' },
    ],
    [
      '6 10OPEN  15:00:00.1 2018.01.09 0x0 t=[0x200000401:0x2:0x0] j=dd.0 ef=0x7 u=0:0 nid=0@lo m=-w- p=[0x200000007:0x1:0x0] m=-w-',
      { parent: P, name: 'm=-w-', target: '0x200000401:0x2:0x0' },
    ],
    [
      '7 06UNLNK 15:00:00.1 2018.01.09 0x1 t=[0x200000401:0x2:0x0] p=[0x200000007:0x1:0x0]  leading',
      { parent: P, name: ' leading', target: '0x200000401:0x2:0x0' },
    ],
    [
      '8 01CREAT 15:00:00.1 2018.01.09 0x0 t=[0x200000401:0x2:0x0] p=[0x200000007:0x1:0x0] a s=[0x1:0x1:0x0] sp=[0x2:0x1:0x0] b',
      { parent: P, name: 'a s=[0x1:0x1:0x0] sp=[0x2:0x1:0x0] b', target: '0x200000401:0x2:0x0' },
    ],
    [
      '9 14SATTR 15:00:00.1 2018.01.09 0x44 t=[0x200000401:0x2:0x0] j=x p=[0x9:0x9:0x9] ef=0xf u=0:0 nid=0@lo p=[0x200000007:0x1:0x0] n',
      { parent: P, name: 'n', target: '0x200000401:0x2:0x0' },
    ],
  ];
  for (const [line, { parent, name, target }] of cases) {
    const record = parseRecord(line);
    assert.equal([record?.parent, record?.name, record?.target], [parent, name, target], line);
  }
  for (const no of ['', 'No record found.', 'x 01CREAT', '5 01CREAT 15:00 t=[0x1:0x1:0x0]'])
    assert.is(parseRecord(no), undefined);
});

test('renames: both places; where the names make it ambiguous, the directories', () => {
  const head = '8 08RENME 15:00:00.1 2018.01.09 0x0 t=[0:0x0:0x0] ef=0xf u=0:0 nid=0@lo p=[0x200000007:0x1:0x0]';
  const s = '[0x200000401:0x5:0x0]';
  const plain = parseRecord(`${head} new name s=${s} sp=[0x200000402:0x1:0x0] old name`)!;
  assert.is(plain.target, undefined);
  assert.is(plain.name, 'new name');
  assert.equal(plain.sources, [{ fid: '0x200000401:0x5:0x0', parent: '0x200000402:0x1:0x0', name: 'old name' }]);
  const unclear = parseRecord(`${head} a s=${s} sp=[0x1:0x1:0x0] b s=${s} sp=[0x200000402:0x1:0x0] old`)!;
  assert.is(unclear.name, undefined);
  assert.equal(
    unclear.sources.map(({ parent, name }) => [parent, name]),
    [
      ['0x1:0x1:0x0', undefined],
      ['0x200000402:0x1:0x0', undefined],
    ],
  );
  // Before 2.4 a rename was two records.
  const old = parseRecord('9 09RNMTO 15:00:00.1 2010.01.09 0x0 t=[0:0x0:0x0] p=[0x200000007:0x1:0x0] to')!;
  assert.equal([old.parent, old.name, old.sources], [P, 'to', []]);
});

test('names with newlines and bytes; what is cut at the end is left out', () => {
  const line = (index: number, name: string) =>
    `${index} 01CREAT 15:00:00.1 2018.01.09 0x0 t=[0x200000401:0x2:0x0] p=[0x200000007:0x1:0x0] ${name}`;
  const output = `${line(1, 'a\nb\n\n12 c')}\n${line(2, '\xff\xfe')}\n${line(3, 'x')}\n`;
  const names = (ended: boolean, text = output) => splitRecords(text, ended).map(({ name }) => name);
  assert.equal(names(true), ['a\nb\n\n12 c', '\xff\xfe', 'x']);
  assert.equal(names(false), ['a\nb\n\n12 c', '\xff\xfe']);
  assert.equal(names(true, output.slice(0, -1)), ['a\nb\n\n12 c', '\xff\xfe']);
  assert.equal(names(true, ''), []);
});

test('every type of record has its meaning', () => {
  const by = (meaning: string) =>
    'MARK CREAT MKDIR HLINK SLINK MKNOD UNLNK RMDIR RENME RNMTO OPEN CLOSE LYOUT TRUNC SATTR XATTR HSM MTIME CTIME ATIME MIGRT FLRW RESYNC GXATR NOPEN FUTUR'
      .split(' ')
      .filter((type) => meaningOf(type) === meaning)
      .join(' ');
  assert.is(by('mark'), 'MARK');
  assert.is(by('none'), 'OPEN ATIME GXATR NOPEN');
  assert.is(by('name'), 'CREAT HLINK SLINK MKNOD UNLNK');
  assert.is(by('tree'), 'MKDIR RMDIR RENME RNMTO MIGRT');
  assert.is(by('content'), 'CLOSE LYOUT TRUNC SATTR XATTR HSM MTIME CTIME FLRW RESYNC FUTUR');
});

test.run();
