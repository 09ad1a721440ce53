// ④ The bundle as it is installed: what packages export is found there too, where they come as chunks of their own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request as plainRequest } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { installRoot } from "../../base/install.ts";
import { httpSocketOf } from "../../control/gateway/gateway.ts";
import { makePlace } from "../control/harness.ts";
import { startCollector } from "../drive/collector.ts";

test("control from the bundle makes its authority, serves by TLS with it, and sends its traces", async () => {
  await using collector = await startCollector();
  using place = makePlace();
  const where = ["--socket", place.socket, "--state", place.state, "--http", "0.0.0.0:0", "--json"];
  const env = { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
  const stdio = ["ignore", "pipe", "ignore"] as const;
  const child = spawn(process.execPath, [join(installRoot, "dist/cli/main.js"), "control", ...where], { env, stdio: [...stdio] });
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), "line"), once(child, "exit")]);
  const { port } = new URL((JSON.parse(String(line)) as { http: string }).http);
  const ca = readFileSync(join(place.state, "access", "authority.crt"), "utf8");
  const [healthz] = await once(request({ host: "127.0.0.1", port, path: "/healthz", ca, agent: false }).end(), "response");
  expect(healthz.statusCode).toBe(503); // no node is linked
  const socketPath = httpSocketOf(place.socket);
  const call = plainRequest({ socketPath, method: "POST", path: "/v1/apps/none/functions/no/call" }).end("{}");
  await once(call, "response");
  child.kill("SIGTERM");
  await once(child, "exit");
  expect(collector.spans).toMatchObject([{ name: "queue" }, { name: "none/no", failure: expect.stringContaining("no app") }]);
});
