// ⑤ One repository of a registry: its documents and its blobs. OCI distribution-spec 1.1, "Pull".

import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { errnoOf, HobError } from "../../../base/errors.ts";
import type { RegistryCredential } from "../../../proto/gen/hob/v1/common.ts";
import { defaultRegistry, type RegistryReference } from "../../../proto/registry-reference.ts";
import { acceptedTypes, type Descriptor, mostDocumentBytes } from "./oci.ts";
import { createAuthorizer } from "./registry-auth.ts";
import { connectionError, createRegistryHttp, type HttpAnswer, isBroken, isLoopback } from "./registry-http.ts";
import { isPassing, mostFailures, retryDelayMs } from "./retry.ts";

export interface Repository extends Disposable {
  /** The manifest or index of a tag or `sha256:…`, with what the registry calls it; its digest is checked where it was given. */
  document(reference: string): Promise<{ bytes: Buffer; mediaType: string }>;
  /** A blob's bytes, resumed where a connection breaks. Whoever reads checks the digest. */
  blob(descriptor: Descriptor, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined>;
}

interface RepositoryOptions {
  credentials: readonly RegistryCredential[];
  /** Registries spoken to by plain HTTP, as they stand in references; those on this machine are anyway. */
  insecure: readonly string[];
  signal?: AbortSignal | undefined;
}

interface Request {
  headers: Record<string, string>;
  signal: AbortSignal | undefined;
}

const refusedTries = 3;

/** A try that failed in a way that may pass. */
class Passing extends Error {
  readonly failure: HobError;
  readonly retryAfter: string | undefined;
  readonly tries: number;
  /** It was asked for a part, and gives none. */
  readonly wholeOnly: boolean;
  constructor(failure: HobError, options: { retryAfter?: string | undefined; tries?: number; wholeOnly?: boolean } = {}) {
    super(failure.message);
    this.failure = failure;
    this.retryAfter = options.retryAfter;
    this.tries = options.tries ?? mostFailures;
    this.wholeOnly = options.wholeOnly ?? false;
  }
}

export function openRepository({ registry, repository }: RegistryReference, options: RepositoryOptions): Repository {
  const host = registry === defaultRegistry.name ? defaultRegistry.host : registry;
  const hostname = new URL(`http://${host}`).hostname;
  const plain = isLoopback(hostname) || options.insecure.includes(registry);
  const base = `${plain ? "http" : "https"}://${host}/v2/${repository}`;
  const http = createRegistryHttp();
  const credential = options.credentials.find((each) => each.registry === registry);
  const authorizer = createAuthorizer(http, { credential, scope: `repository:${repository}:pull`, secure: !plain });

  async function authorised(url: URL, { headers, signal }: Request): Promise<HttpAnswer> {
    for (let refused = 0; ; refused++) {
      const authorization = authorizer.header();
      const answer = await http.request(url, { headers: { ...headers, ...(authorization ? { authorization } : {}) }, signal });
      const challenge = answer.headers["www-authenticate"];
      // Where it has sent us has no say in who gets the login.
      if (answer.status !== 401 || refused > 0 || !challenge || answer.host !== url.host) return answer;
      answer.body.destroy();
      if (!(await authorizer.answer(challenge, authorization, signal))) return answer;
    }
  }

  function refusal(status: number, what: string): HobError {
    if (status === 404) {
      return new HobError("notFound", `the registry ${registry} has no ${what}`, { remedy: "check its name and its tag" });
    }
    if (status === 401 || status === 403) {
      const hint = `check its name, and log in with docker login ${registry} or skopeo login ${registry}`;
      const as = credential ? `${credential.username || "the token"} is not allowed to read` : "it takes a login to read";
      return new HobError("precondition", `the registry ${registry} refuses ${what}: ${as} it, or it does not exist`, {
        remedy: hint,
      });
    }
    if (status === 429) {
      const remedy = "wait a while, or log in: most registries allow more then";
      return new HobError("unavailable", `the registry ${registry} allows no more requests for now`, { remedy });
    }
    return new HobError("unavailable", `the registry ${registry} answered ${status} to the request for ${what}`, {
      remedy: "try again later",
    });
  }

  /** An answer with one of these statuses, or an error: Passing where another try may help. */
  async function ask(url: URL, request: Request, what: string): Promise<HttpAnswer> {
    let answer: HttpAnswer;
    try {
      answer = await authorised(url, request);
    } catch (error) {
      throw broken(error, request.signal);
    }
    if (answer.status === 200 || answer.status === 206) return answer;
    answer.body.destroy();
    const failure = refusal(answer.status, what);
    if (answer.status === 416) throw new Passing(failure, { wholeOnly: true });
    throw isPassing(answer.status) ? new Passing(failure, { retryAfter: answer.headers["retry-after"] }) : failure;
  }

  function broken(error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    const failure = connectionError(registry, error);
    if (!isBroken(error)) return failure;
    // Nobody listens there: a registry that restarts, or a wrong name, which a person should hear of soon.
    return new Passing(failure, errnoOf(error) === "ECONNREFUSED" ? { tries: refusedTries } : {});
  }

  /** Waits before the next try; throws where there is none. */
  async function pause(error: unknown, failures: number, signal: AbortSignal | undefined): Promise<void> {
    if (!(error instanceof Passing)) throw error;
    if (failures >= error.tries) throw error.failure;
    await delay(retryDelayMs(failures, Math.random(), error.retryAfter), undefined, { signal }).catch(() =>
      signal?.throwIfAborted(),
    );
  }

  async function readWhole({ body }: HttpAnswer, what: string, signal: AbortSignal | undefined): Promise<Buffer> {
    const parts: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const piece of body as AsyncIterable<Buffer>) {
        bytes += piece.length;
        if (bytes > mostDocumentBytes) throw new HobError("corrupt", `${what} has more than ${mostDocumentBytes} bytes`);
        parts.push(piece);
      }
    } catch (error) {
      throw error instanceof HobError ? error : broken(error, signal);
    }
    return Buffer.concat(parts);
  }

  return {
    async document(reference) {
      const what = `image ${repository}${reference.startsWith("sha256:") ? "@" : ":"}${reference}`;
      const { signal } = options;
      for (let failures = 1; ; failures++) {
        try {
          const url = new URL(`${base}/manifests/${reference}`);
          const answer = await ask(url, { headers: { accept: acceptedTypes }, signal }, what);
          const bytes = await readWhole(answer, `the manifest of ${what}`, signal);
          const promised = reference.startsWith("sha256:") ? reference : answer.headers["docker-content-digest"];
          const found = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
          if (typeof promised === "string" && promised.startsWith("sha256:") && promised !== found) {
            const remedy = "something on the way has altered it; try again, and if that fails, push the image again";
            throw new HobError("corrupt", `the manifest of ${what} is not what its digest says`, { remedy });
          }
          return { bytes, mediaType: (answer.headers["content-type"] ?? "").split(";")[0]?.trim() ?? "" };
        } catch (error) {
          await pause(error, failures, signal);
        }
      }
    },

    async *blob({ digest, size }, signal = options.signal) {
      const what = `blob ${digest.slice(0, 12)} of ${repository}`;
      const url = new URL(`${base}/blobs/sha256:${digest}`);
      let have = 0;
      let ranges = true;
      for (let failures = 1; ; failures++) {
        try {
          const answer = await ask(url, { headers: have > 0 && ranges ? { range: `bytes=${have}-` } : {}, signal }, what);
          // A registry that knows no ranges sends everything again.
          let skip = answer.status === 206 ? 0 : have;
          const from = /^bytes (\d+)-/.exec(answer.headers["content-range"] ?? "")?.[1];
          if (answer.status === 206 && Number(from) !== have) {
            answer.body.destroy();
            throw new Passing(refusal(206, what), { wholeOnly: true });
          }
          for await (let piece of answer.body as AsyncIterable<Buffer>) {
            if (skip > 0) {
              const ignored = Math.min(skip, piece.length);
              skip -= ignored;
              piece = piece.subarray(ignored);
            }
            if (piece.length === 0) continue;
            have += piece.length;
            failures = 0;
            yield piece;
          }
          if (have >= size) return;
          throw Object.assign(new Error("it ended the answer early"), { code: "ERR_STREAM_PREMATURE_CLOSE" });
        } catch (error) {
          const failure = error instanceof HobError || error instanceof Passing ? error : broken(error, signal);
          if (failure instanceof Passing && failure.wholeOnly) ranges = false;
          await pause(failure, Math.max(failures, 1), signal);
        }
      }
    },

    [Symbol.dispose]: () => http[Symbol.dispose](),
  };
}
