/** The table of a run, in Markdown, so that it can stand in a README. */
import { type Report, type Row, reaches } from './row.js';

const digits = (value: number | null, empty = '–'): string => {
  if (value === null) return empty;
  const places = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toFixed(places);
};

function verdict(row: Row): string {
  if (reaches(row, 'floor') === false) return 'MISSED';
  if (reaches(row, 'aim') === true) return 'aim';
  return reaches(row, 'floor') === true ? 'kept' : '';
}

export const columns = [
  'load',
  'value',
  'reference',
  'ratio',
  'floor',
  'aim',
  '',
  'CPU',
  'RSS MiB',
  'stall ms',
  'note',
] as const;

/** One line of the table. */
export function cells(row: Row): string[] {
  const unit = row.unit === 'us' ? 'µs' : row.unit;
  const sign = row.better === 'higher' ? '≥' : '≤';
  const limit = (value: number | null) => (value === null ? '' : `${sign} ${value}`);
  const other = row.other === undefined ? '' : `the other server: ${digits(row.other)} ${unit}`;
  return [
    row.load,
    row.value === null ? '–' : `${digits(row.value)} ${unit}`,
    row.reference === null ? '' : `${digits(row.reference)} (${row.referenceName})`,
    digits(row.ratio, ''),
    limit(row.floor),
    limit(row.aim),
    verdict(row),
    row.cpu === null ? '' : `${digits(row.cpu)} ${row.cpuUnit.replace('us', 'µs')}`,
    row.rssMiB === null ? '' : row.rssMiB.toFixed(0),
    row.stallMs === null ? '' : row.stallMs.toFixed(1),
    [row.note, other].filter(Boolean).join('; '),
  ];
}

/** Lines of equal columns. */
export function align(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`)
    .map((line, index) => (index === 0 ? `${line}\n|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|` : line))
    .join('\n');
}

export function table({ machine, commit, date, command, rows }: Report): string {
  const missed = rows.filter((row) => reaches(row, 'floor') === false);
  const limited = rows.filter((row) => reaches(row, 'floor') !== undefined);
  return `${align([columns, ...rows.map(cells)])}

${machine}; commit ${commit}; ${date}; ${command}
${limited.length - missed.length} of ${limited.length} floors kept${missed.length ? `; missed: ${missed.map((row) => row.load).join(' / ')}` : ''}`;
}
