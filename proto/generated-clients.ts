// In the bundle this stands for grpc-js where proto/gen imports it (scripts/build.ts): a client's class is made when the first of it is made. grpc-js is a
// megabyte of code, 50 ms at every start, and what only reads messages (the screen, a replay) never dials.

import type { makeGenericClientConstructor as Make } from "@grpc/grpc-js";

let make: typeof Make | undefined;

/** Whoever can dial has grpc-js, and with it brings what the generated clients are made with. */
export function lendGrpc(given: typeof Make): void {
  make = given;
}

export function makeGenericClientConstructor(...definition: Parameters<typeof Make>): ReturnType<typeof Make> {
  let made: ReturnType<typeof Make> | undefined;
  const later = class {} as unknown as ReturnType<typeof Make>;
  return new Proxy(later, {
    construct(_, given) {
      if (!make) throw new Error(`a client of ${definition[1]} was made before proto/transport.ts was loaded`);
      made ??= make(...definition);
      return Reflect.construct(made, given);
    },
  });
}

/** For the types of proto/gen alone. */
export class Client {}
