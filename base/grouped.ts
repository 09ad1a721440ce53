// Numbers with their digits in groups of three. Not by Intl, whose tables are five megabytes that a process need not have.

/** 17400 is "17,400". Whole numbers; others are rounded. */
export function grouped(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(?:\d{3})+$)/g, ",");
}
