// ⑦ What a remote call rejects with when it did not give a result.

export interface RemoteFailure {
  kind: string;
  message: string;
  type?: string;
  traceback?: string;
}

/** `kind` says how the call ended ("exception", "timeout", "memory" …), `type` is the remote exception's class. */
export class RemoteError extends Error {
  override name = "RemoteError";
  readonly kind: string;
  readonly type: string;
  readonly remoteTraceback: string;

  constructor(failure: RemoteFailure) {
    const { kind, message, type = "", traceback = "" } = failure;
    const text = type ? `${type}: ${message}` : message;
    super(traceback ? `${text}\n\nremote traceback:\n${traceback.trimEnd()}\n` : text);
    this.kind = kind;
    this.type = type;
    this.remoteTraceback = traceback;
  }
}

/** The call ran longer than its function's `timeout`. */
export class CallTimeout extends RemoteError {
  override name = "CallTimeout";
}

export class CallCancelled extends RemoteError {
  override name = "CallCancelled";
}

/** The call needed more than its function's `memory`. */
export class OutOfMemory extends RemoteError {
  override name = "OutOfMemory";
}

/** The process that ran the call exited or was ended by a signal. */
export class ProcessEnded extends RemoteError {
  override name = "ProcessEnded";
}

/** The arguments do not fit the function's parameters. */
export class ArgumentsRefused extends RemoteError {
  override name = "ArgumentsRefused";
}

const classes: Record<string, new (failure: RemoteFailure) => RemoteError> = {
  timeout: CallTimeout,
  cancelled: CallCancelled,
  memory: OutOfMemory,
  exit: ProcessEnded,
  signal: ProcessEnded,
  arguments: ArgumentsRefused,
};

export function remoteError(failure: RemoteFailure): RemoteError {
  return new (classes[failure.kind] ?? RemoteError)(failure);
}
