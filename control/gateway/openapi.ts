// ④ The REST interface, described (OpenAPI 3.1). docs/openapi.json is this; a test asks the server everything that it says.

const text = { type: "string" };
const whole = { type: "integer" };
const any = {};
const orNull = (schema: object): object => ({ anyOf: [schema, { type: "null" }] });
const ref = (name: string): object => ({ $ref: `#/components/schemas/${name}` });
const list = (items: object): object => ({ type: "array", items });

function object(properties: Record<string, object>, optional: string[] = []): object {
  return { type: "object", properties, required: Object.keys(properties).filter((name) => !optional.includes(name)) };
}

const json = (schema: object): object => ({ content: { "application/json": { schema } } });
const answer = (description: string, schema: object): object => ({ description, ...json(schema) });
const refused = {
  "4XX": answer("Refused: what is wrong, as a sentence.", ref("Error")),
  "5XX": answer("Not possible now.", ref("Error")),
};
const inPath = (name: string, description: string): object => ({ name, in: "path", required: true, description, schema: text });
const wait = {
  ...{ name: "wait", in: "query", required: false, schema: { type: "number", minimum: 0, maximum: 300 } },
  description: "Seconds to wait for the end.",
};
const app = inPath("app", "APP, what was published last; APP@live or APP@3, what was promoted.");
const name = inPath("function", "Its name.");
const id = inPath("id", "16 hex digits.");

const unfinished = (schema: object): object => ({
  "200": answer("It has ended.", schema),
  "202": answer("It has not ended yet: ask again.", schema),
  ...refused,
});

export const openApi = {
  openapi: "3.1.0",
  info: {
    title: "hob",
    version: "1",
    description:
      'Functions, calls and maps of a pool. Values are JSON; bytes are {"$bytes": base64}, NaN and infinities {"$float": "nan" | "inf" | "-inf"}.',
  },
  security: [{ token: [] }],
  paths: {
    "/v1/apps": {
      get: {
        operationId: "listApps",
        summary: "The apps and their functions.",
        responses: {
          "200": answer("The apps.", object({ apps: list(object({ app: text, functions: list(text) })) })),
          ...refused,
        },
      },
    },
    "/v1/apps/{app}/functions": {
      get: {
        operationId: "listFunctions",
        summary: "An app's functions, with their parameters.",
        parameters: [app],
        responses: { "200": answer("The functions.", object({ app: text, functions: list(ref("Function")) })), ...refused },
      },
    },
    "/v1/apps/{app}/functions/{function}/call": {
      post: {
        operationId: "call",
        summary: "Calls a function, and waits for its result.",
        parameters: [app, name],
        requestBody: { required: true, ...json(ref("CallRequest")) },
        responses: unfinished(ref("Call")),
      },
    },
    "/v1/apps/{app}/functions/{function}/map": {
      post: {
        operationId: "map",
        summary: "Calls a function once for each input.",
        parameters: [app, name],
        requestBody: { required: true, ...json(ref("MapRequest")) },
        responses: unfinished(ref("Map")),
      },
    },
    "/v1/calls/{id}": {
      get: {
        operationId: "getCall",
        summary: "What became of a call.",
        parameters: [id, wait],
        responses: unfinished(ref("Call")),
      },
      delete: { operationId: "cancelCall", summary: "Cancels a call.", parameters: [id], responses: unfinished(ref("Call")) },
    },
    "/v1/maps/{id}": {
      get: { operationId: "getMap", summary: "How far a map is.", parameters: [id, wait], responses: unfinished(ref("Map")) },
      delete: { operationId: "cancelMap", summary: "Cancels a map.", parameters: [id], responses: unfinished(ref("Map")) },
    },
    "/v1/maps/{id}/results": {
      get: {
        operationId: "getMapResults",
        summary: "Some results of a map, in the order of its inputs; fewer than there are where they are many.",
        parameters: [
          id,
          {
            ...{ name: "from", in: "query", required: false, schema: { type: "integer", minimum: 0 } },
            description: "The index of the first that is wanted.",
          },
        ],
        responses: {
          "200": answer(
            "Those that follow each other from there.",
            object({ results: list(ref("MapResult")), next: whole, last: { type: "boolean" } }),
          ),
          ...refused,
        },
      },
    },
    "/v1/openapi.json": {
      get: {
        operationId: "getDescription",
        summary: "This description.",
        responses: { "200": answer("It.", { type: "object" }), ...refused },
      },
    },
  },
  components: {
    securitySchemes: {
      token: {
        type: "http",
        scheme: "bearer",
        description: "`hob pool token create --scope call`; none at control's own socket for HTTP.",
      },
    },
    schemas: {
      CallRequest: object(
        { args: list(any), kwargs: { type: "object" }, wait: { type: "number", minimum: 0, maximum: 300 }, id: text },
        [...["args", "kwargs", "wait", "id"]],
      ),
      MapRequest: object({ inputs: list(any), spread: { type: "boolean" } }, ["spread"]),
      Call: object(
        {
          ...{ id: text, number: whole, app: text, function: text, version: text },
          state: { enum: ["queued", "running", "succeeded", "failed", "cancelled"] },
          ...{ attempt: whole, queuedAtMs: { type: "number" }, finishedAtMs: orNull({ type: "number" }) },
          ...{ failure: orNull(ref("Failure")), result: any },
        },
        ["result"],
      ),
      Map: object({
        ...{ id: text, number: whole, app: text, function: text, version: text },
        state: { enum: ["running", "succeeded", "failed", "cancelled"] },
        ...{ inputs: whole, succeeded: whole, failed: whole, failure: orNull(ref("Failure")) },
      }),
      MapResult: object({ index: whole, result: any, failure: ref("Failure") }, ["result", "failure"]),
      Failure: object({ kind: text, type: text, message: text, traceback: text }),
      Function: object({
        ...{ name: text, version: text, language: text, doc: text, returns: text },
        parameters: list(object({ name: text, kind: text, hasDefault: { type: "boolean" }, annotation: text })),
        path: orNull(text),
      }),
      Error: object({ error: object({ kind: text, message: text, type: text, call: text }, ["type", "call"]) }),
    },
  },
};
