// ⑧ Sizes for people: binary units, three significant digits at most.

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes) || bytes < 0) return "–";
  let value = bytes;
  let unit = 0;
  // 1023.5 would be shown as "1024": it belongs to the next unit already.
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

const powers: Record<string, number> = { "": 0, K: 1, M: 2, G: 3, T: 4 };

/** "20GiB", "1.5 TiB", "500M" or plain bytes: all powers of 1024. Undefined for what is no size. */
export function parseBytes(text: string): number | undefined {
  const parts = /^([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)(?:iB|B)?$/i.exec(text.trim());
  const bytes = parts ? Number(parts[1]) * 1024 ** (powers[(parts[2] as string).toUpperCase()] as number) : 0;
  return bytes >= 1 ? Math.floor(bytes) : undefined;
}
