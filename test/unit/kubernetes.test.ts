// deploy/kubernetes.yaml: of the shapes that Kubernetes takes, nothing misspelt, and its parts fit each other and hob's own flags.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DaemonSet } from "kubernetes-models/apps/v1/DaemonSet";
import { Deployment } from "kubernetes-models/apps/v1/Deployment";
import { StatefulSet } from "kubernetes-models/apps/v1/StatefulSet";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Namespace } from "kubernetes-models/v1/Namespace";
import { Service } from "kubernetes-models/v1/Service";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { installRoot } from "../../base/install.ts";
import { parseNatsUrl } from "../../control/engine/nats/link.ts";

interface Container {
  name: string;
  args?: string[];
  ports?: { name: string; containerPort: number }[];
  volumeMounts?: { name: string }[];
}

interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string };
  spec?: {
    selector?: { matchLabels?: Record<string, string> } & Record<string, unknown>;
    template?: {
      metadata: { labels: Record<string, string> };
      spec: { containers: Container[]; initContainers?: Container[]; volumes: { name: string }[] };
    };
    ports?: { port: number }[];
    replicas?: number;
    volumeClaimTemplates?: { metadata: { name: string } }[];
  };
}

const models = { ConfigMap, Namespace, Service, DaemonSet, Deployment, StatefulSet, NetworkPolicy, PodDisruptionBudget };
const manifests = parseAllDocuments(readFileSync(join(installRoot, "deploy/kubernetes.yaml"), "utf8")).map(
  (document) => document.toJS() as Manifest,
);
const find = (kind: string, name: string): Manifest => manifests.find((one) => one.kind === kind && one.metadata.name === name)!;

test("each object is what the API's schema of its kind takes", () => {
  expect(manifests.length).toBeGreaterThan(8);
  for (const manifest of manifests) {
    const Model = models[manifest.kind as keyof typeof models] as unknown as { new (data: unknown): { validate(): void } };
    expect(Model, manifest.kind).toBeDefined();
    new Model(manifest).validate();
  }
  const wrong = structuredClone(find("StatefulSet", "nats"));
  (wrong.spec as { replicas: unknown }).replicas = "three";
  expect(() => new StatefulSet(wrong as never).validate()).toThrow("data/spec/replicas must be integer");
});

/** What the compiler says of the objects as literals of their types, in which a field that there is not is a fault. */
function misspelt(objects: Manifest[]): string {
  const folder = mkdtempSync(join(installRoot, "node_modules/.kubernetes-"));
  try {
    const text = objects.map((object, n) => {
      const from = object.apiVersion.includes("/") ? object.apiVersion : "v1";
      return `import type { I${object.kind} as T${n} } from "kubernetes-models/${from}/${object.kind}";\nexport const o${n}: T${n} = ${JSON.stringify(object)};\n`;
    });
    writeFileSync(join(folder, "objects.ts"), text.join(""));
    const flags = [
      "--noEmit",
      "--strict",
      "--skipLibCheck",
      "--module",
      "nodenext",
      "--moduleResolution",
      "nodenext",
      "--ignoreConfig",
    ];
    execFileSync(process.execPath, [join(installRoot, "node_modules/typescript/bin/tsc"), ...flags, join(folder, "objects.ts")], {
      encoding: "utf8",
    });
    return "";
  } catch (error) {
    return (error as { stdout?: string }).stdout || String(error);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("no field is misspelt, in any object", () => {
  expect(misspelt(manifests)).toBe("");
  const wrong = structuredClone(find("Deployment", "hob-control"));
  Object.assign(wrong.spec!.template!.spec.containers[0]!, { imagePullPolice: "Always" });
  expect(misspelt([wrong])).toContain("imagePullPolice");
});

test("selectors find their pods, mounts their volumes, services their ports, and control its servers", () => {
  const pods = manifests.filter(({ spec }) => spec?.template);
  for (const { metadata, spec } of pods) {
    const { metadata: pod, spec: made } = spec!.template!;
    expect(pod.labels, metadata.name).toMatchObject(spec!.selector!.matchLabels!);
    const volumes = [...made.volumes, ...(spec!.volumeClaimTemplates ?? []).map((claim) => claim.metadata)].map(
      ({ name }) => name,
    );
    const mounts = [...made.containers, ...(made.initContainers ?? [])].flatMap(({ volumeMounts = [] }) => volumeMounts);
    expect(new Set(mounts.map(({ name }) => name)), metadata.name).toEqual(new Set(volumes));
  }
  for (const service of manifests.filter(({ kind }) => kind === "Service")) {
    const pod = pods.find(({ spec }) => spec!.template!.metadata.labels["app"] === service.spec!.selector!["app"])!;
    const ports = pod.spec!.template!.spec.containers.flatMap(({ ports: all = [] }) => all.map((port) => port.containerPort));
    expect(ports).toEqual(expect.arrayContaining(service.spec!.ports!.map(({ port }) => port)));
  }
  const [control] = find("Deployment", "hob-control").spec!.template!.spec.containers;
  const engine = control!.args![control!.args!.indexOf("--engine") + 1]!.replace("$(NATS_PASSWORD)", "secret");
  const { servers, user } = parseNatsUrl(engine);
  const nats = find("StatefulSet", "nats");
  expect(servers).toEqual(Array.from({ length: nats.spec!.replicas! }, (_, n) => `nats-${n}.nats.hob.svc`));
  const configuration = (find("ConfigMap", "nats") as unknown as { data: Record<string, string> }).data["nats.conf"]!;
  expect(configuration).toContain(`user: ${user}`);
  for (const server of servers) expect(configuration).toContain(`nats://${server}:6222`);
});
