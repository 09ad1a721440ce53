// ④⑥ A framework's app as an endpoint: FastAPI, of the distribution's packages.

import { expect, test } from "vitest";
import { pythonModule } from "../drive/requirements.ts";
import { openGateway } from "./gateway-place.ts";

const program = `
import hob
app = hob.App("shop")

@app.asgi("/")
def web():
    from fastapi import BackgroundTasks, FastAPI, Request, UploadFile
    from fastapi.responses import StreamingResponse

    api = FastAPI()
    seen = []

    @api.on_event("startup")
    async def started():
        seen.append("started")

    @api.get("/items/{id}")
    async def item(id: int, q: str = ""):
        return {"id": id, "q": q, "seen": seen}

    @api.get("/stream")
    def stream():
        return StreamingResponse((f"{n} " for n in range(3)), media_type="text/plain")

    @api.post("/later")
    async def later(request: Request, tasks: BackgroundTasks):
        tasks.add_task(seen.append, (await request.body()).decode())
        return str(request.url)

    return api
`;

test.skipIf(!pythonModule("fastapi"))(
  "a FastAPI app answers: parameters, its own refusals, streams, background tasks, its documentation",
  async () => {
    await using open = await openGateway("python", program, { web: { kind: "asgi", path: "/" } });
    const ask = async (path: string, init?: RequestInit) => {
      const response = await fetch(`${open.url}/shop${path}`, init);
      return [response.status, await response.text()];
    };
    expect(await ask("/items/7?q=a")).toEqual([200, '{"id":7,"q":"a","seen":["started"]}']);
    expect(await ask("/items/x")).toEqual([422, expect.stringContaining("value is not a valid integer")]);
    expect(await ask("/stream")).toEqual([200, "0 1 2 "]);
    expect(await ask("/later?x=1", { method: "POST", body: "done" })).toEqual([200, `"${open.url}/shop/later?x=1"`]);
    expect(await ask("/items/8")).toEqual([200, '{"id":8,"q":"","seen":["started","done"]}']);
    expect(await ask("/openapi.json")).toEqual([200, expect.stringContaining('"/items/{id}"')]);
    expect(await ask("/nothing")).toEqual([404, '{"detail":"Not Found"}']);
  },
);
