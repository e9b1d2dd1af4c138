/** Numbers as the commands print them. */

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** `0 B`, `1.5 KiB`, `12.0 GiB`: for people. */
export function size(bytes: number): string {
  let power = 0;
  // Rounded first: 1023.99 KiB must not be shown as 1024.0 KiB.
  while (power < units.length - 1 && Number((bytes / 1024 ** power).toFixed(1)) >= 1024) power++;
  return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`;
}

const GIB = 1024 ** 3;

/** GiB with three decimals, rounded up: what is there is never shown as nothing. */
export const gib = (bytes: number): string => (Math.ceil((bytes / GIB) * 1000) / 1000).toFixed(3);

/** `0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`. */
export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')} min`;
}
