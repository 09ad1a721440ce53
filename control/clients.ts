// ④ Who is connected. An embedded control ends itself when nobody has been for its linger time.

export interface Clients extends Disposable {
  readonly count: number;
  /** Notes a client; the returned function notes its end, once. */
  enter(): () => void;
}

/** `alone` is called when no client has been connected for `lingerMs`; never when that is Infinity. */
export function createClients(lingerMs: number, alone: () => void): Clients {
  let count = 0;
  let timer: NodeJS.Timeout | undefined;

  function wait(): void {
    clearTimeout(timer);
    if (count === 0 && lingerMs !== Number.POSITIVE_INFINITY) timer = setTimeout(alone, lingerMs);
  }

  wait();
  return {
    get count() {
      return count;
    },
    enter() {
      clearTimeout(timer);
      count++;
      let inside = true;
      return () => {
        if (!inside) return;
        inside = false;
        count--;
        wait();
      };
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
