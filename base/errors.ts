// The few kinds of error that a caller handles differently. Messages name the operation, the object and the remedy.

/**
 * - `usage`: the command or its arguments are wrong; nothing was tried
 * - `function`: the user's function failed
 * - `denied`: whoever asks has not the right to
 * - `notFound`, `precondition`, `exhausted`, `corrupt`, `unavailable`: the pool or the machine could not do it
 * - `cancelled`: somebody asked for the end
 * - `internal`: a fault of ours
 */
export type ErrorKind =
  | "usage"
  | "function"
  | "denied"
  | "notFound"
  | "precondition"
  | "exhausted"
  | "corrupt"
  | "unavailable"
  | "cancelled"
  | "internal";

/** An error spoken to a person: `message` is one clear sentence, `remedy` says what to do where there is something to do. */
export class HobError extends Error {
  readonly kind: ErrorKind;
  readonly remedy: string | undefined;

  constructor(kind: ErrorKind, message: string, options: { cause?: unknown; remedy?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "HobError";
    this.kind = kind;
    this.remedy = options.remedy;
  }

  /** Message and remedy as one line. */
  get sentence(): string {
    return this.remedy === undefined ? this.message : `${this.message}: ${this.remedy}`;
  }
}

const exitCodes: Record<ErrorKind, number> = {
  function: 1,
  usage: 2,
  denied: 3,
  notFound: 3,
  precondition: 3,
  exhausted: 3,
  corrupt: 3,
  unavailable: 3,
  cancelled: 3,
  internal: 3,
};

/** 1 the user's function failed, 2 usage, 3 the pool or control could not do it. */
export function exitCode(error: unknown): number {
  return error instanceof HobError ? exitCodes[error.kind] : 3;
}

/** What to print for any thrown value. */
export function sentenceOf(error: unknown): string {
  if (error instanceof HobError) return error.sentence;
  return error instanceof Error ? error.message : String(error);
}

/** The errno name of a system error ("ENOENT"), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

const systemSentences: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EACCES: "permission was denied",
  EPERM: "the system did not permit it",
  EMFILE: "too many files are open in this process",
  ENFILE: "too many files are open on this machine",
  EADDRINUSE: "the address is in use",
};

/** Wraps a system error so that it names what was being done: `writing blob 9c1f…: the disk is full`. */
export function systemError(operation: string, error: unknown, remedy?: string): HobError {
  if (error instanceof HobError) return error;
  const code = errnoOf(error);
  const reason = (code && systemSentences[code]) ?? (error instanceof Error ? error.message : String(error));
  const kind: ErrorKind = code === "ENOSPC" || code === "EDQUOT" ? "exhausted" : "unavailable";
  return new HobError(kind, `${operation}: ${reason}`, remedy === undefined ? { cause: error } : { cause: error, remedy });
}
