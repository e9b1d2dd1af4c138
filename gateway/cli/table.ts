/** Tables as the commands print them: `+---+` borders, one row a line. */

/** Columns that a terminal gives a text: East Asian wide letters take two. */
function width(text: string): number {
  let columns = 0;
  for (const letter of text)
    columns +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(
        letter,
      )
        ? 2
        : 1;
  return columns;
}

/** Names of files and users are input: a control character in one must not reach the terminal. */
export const printable = (text: string) =>
  text.replace(/\p{Cc}/gu, (letter) => `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`);

/** Rows of equal length; `header` is set off by a border. Ends in a newline. */
export function table(rows: readonly (readonly string[])[], header?: readonly string[]): string {
  const shown = (header === undefined ? rows : [header, ...rows]).map((row) => row.map(printable));
  const widths = (shown[0] ?? []).map((_, column) => Math.max(...shown.map((row) => width(row[column] ?? ''))));
  const border = `+${widths.map((columns) => '-'.repeat(columns + 2)).join('+')}+`;
  const lines = shown.map(
    (row) => `|${row.map((cell, column) => ` ${cell}${' '.repeat(widths[column]! - width(cell))} `).join('|')}|`,
  );
  if (header !== undefined) lines.splice(1, 0, ...(rows.length > 0 ? [border] : []));
  return `${[border, ...lines, border].join('\n')}\n`;
}
