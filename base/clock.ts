// Time as a value: what reads it takes a Clock, so that decisions can be tested at any moment.

export interface Clock {
  /** Unix time in milliseconds, with fractions. */
  now(): number;
}

export const systemClock: Clock = {
  // performance.timeOrigin is fixed at start; Date.now() follows adjustments but has whole milliseconds only.
  now: () => performance.timeOrigin + performance.now(),
};
