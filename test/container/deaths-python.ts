// ⑥ A user's worst days in Python: one module of functions, and what becomes of a call of each.

import type { Death } from "./deaths.ts";

export const pythonSource = `
import atexit, ctypes, json, os, signal, socket, subprocess, sys, threading, time

def fine():
    return 42

def sleeps():
    print("sleeping", flush=True)
    time.sleep(1000)

def spins():
    print("sleeping", flush=True)
    while True:
        pass

def handles():
    def end(number, frame):
        os.write(1, b"asked to end\\n")  # print may be what the signal interrupts
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    sleeps()

def deaf():
    signal.signal(signal.SIGTERM, lambda number, frame: os.write(1, b"not yet\\n"))
    while True:
        sleeps_on()

def sleeps_on():
    print("sleeping", flush=True)
    try:
        time.sleep(1000)
    except BaseException:
        pass

def stuck_in_c():
    print("sleeping", flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None).sleep(1000)

def returns_late():
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    print("sleeping", flush=True)
    signal.pause()
    return "too late"

def grow(mebibytes=1024):
    blocks = []
    for _ in range(mebibytes):
        block = bytearray(1 << 20)
        for at in range(0, len(block), 4096):
            block[at] = 1
        blocks.append(block)

def grow_child_and_raise():
    subprocess.run([sys.executable, "-c", "x = b'x' * (1 << 30)"], check=True)

def grow_child_and_go_on():
    pid = os.fork()
    if pid == 0:
        grow()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def grow_shared():
    for number in range(8):
        with open(f"/dev/shm/{number}", "wb") as file:
            for _ in range(8):
                file.write(b"x" * (1 << 20))
    with open("/tmp/more", "wb") as file:
        for _ in range(60):
            file.write(b"x" * (1 << 20))
    grow()

def exits(code):
    os._exit(code)

def leaves(code):
    sys.exit(code)

def raises_exit_in_thread():
    thread = threading.Thread(target=lambda: sys.exit(3))
    thread.start()
    thread.join()
    return "went on"

def exits_in_thread():
    threading.Thread(target=lambda: os._exit(5)).start()
    time.sleep(1000)

def segfault():
    ctypes.string_at(0)

def abort():
    os.abort()

def kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)

def kills_group():
    os.killpg(0, signal.SIGKILL)

def kills_runner():
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getppid(), number)
        os.kill(1, number)
    return os.getppid()

def kills_all():
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was alone already
    return "alone"

def stops_itself():
    os.kill(os.getpid(), signal.SIGSTOP)

def forks():
    pid = os.fork()
    return pid == 0

def forks_and_raises():
    if os.fork() == 0:
        raise ValueError("in the child")
    time.sleep(0.1)
    return "parent"

def daemonises():
    if os.fork() == 0:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        time.sleep(1000)
        os._exit(0)
    os.wait()
    return "left a daemon"

def daemonises_itself():
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    time.sleep(1000)

def closes_stdout():
    print("before")
    sys.stdout.close()
    return "quiet"

def closes_descriptors_1_and_2():
    os.close(1)
    os.close(2)
    return "quiet"

def closes_3():
    os.close(3)
    return "no way to say it"

def closes_all():
    os.closerange(0, 256)
    return "no way to say it"

def garbage():
    for fd in range(3, 64):
        try:
            os.write(fd, b"\\xff" * 64)
        except OSError:
            pass
    return "never trusted"

def oversize_frame():
    for fd in range(3, 64):
        try:
            os.write(fd, b"\\x7f\\xff\\xff\\xff\\x45")
        except OSError:
            pass
    return "never trusted"

def lies():
    head = json.dumps({"call": "ffffffffffffffff", "runMs": 1}).encode()
    body = bytes([69]) + len(head).to_bytes(4, "big") + head + b'"stolen"'
    for fd in range(3, 64):
        try:
            os.write(fd, len(body).to_bytes(4, "big") + body)
        except OSError:
            pass
    return "the truth"

def prints_much():
    line = b"x" * 1023 + b"\\n"
    for _ in range(100):
        os.write(1, line * 1024)
    return "printed"

def prints_one_line():
    for _ in range(100):
        os.write(1, b"x" * (1 << 20))
    return "printed"

def prints_binary():
    os.write(1, bytes(range(256)) + b"\\xff\\xfe\\n")
    return "printed"

def prints_and_dies():
    print("last words", flush=True)
    os._exit(9)

def reads_stdin():
    return [sys.stdin.read(), os.read(0, 10).decode()]

def asks():
    return input("name? ")

class Quiet(BaseException):
    pass

class Hostile(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")
    __repr__ = __str__

class Endless(Exception):
    def __str__(self):
        print("sleeping", flush=True)
        while True:
            pass

class Unpicklable(Exception):
    def __init__(self):
        super().__init__("holds a lock")
        self.lock = threading.Lock()
        self.socket = socket.socket()

def raises(name):
    raise globals()[name]()

def raises_long():
    raise ValueError("x" * (5 << 20))

def raises_deep():
    try:
        raises_deep_inner(50)
    except ValueError as error:
        raise KeyError("outer") from error

def raises_deep_inner(depth):
    if depth == 0:
        raise ValueError("inner")
    raises_deep_inner(depth - 1)

def interrupt():
    raise KeyboardInterrupt

def stop_iteration():
    raise StopIteration("early")

def recurses():
    return recurses()

def recurses_in_c():
    value = []
    for _ in range(1_000_000):
        value = [value]
    sys.setrecursionlimit(10 ** 9)
    return repr(value)

def no_recursion_limit():
    sys.setrecursionlimit(10 ** 9)
    def down(n):
        return down(n + 1) + 1
    return down(0)

def returns(what):
    if what == "socket":
        return {"x": [1, socket.socket()]}
    if what == "itself":
        value = []
        value.append(value)
        return value
    if what == "surrogate":
        return "\\udcff"
    if what == "generator that raises":
        return (1 // n for n in (1, 0))
    return "x" * int(what)

def fills_disk(folder):
    try:
        with open(f"{folder}/full", "wb") as file:
            while True:
                file.write(b"x" * (1 << 20))
    finally:
        os.remove(f"{folder}/full")

def fork_bomb():
    while True:
        if os.fork() == 0:
            time.sleep(1000)

def fork_bomb_that_breeds():
    print("sleeping", flush=True)
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.05)

def many_threads():
    threading.stack_size(65536)
    end, threads = threading.Event(), []
    try:
        while True:
            thread = threading.Thread(target=end.wait)
            thread.start()
            threads.append(thread)
    finally:
        end.set()
        for thread in threads:
            thread.join()

def leaves_threads():
    for _ in range(10):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    return "left threads"

def opens_all():
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(1_000_000)]

def replaces_things():
    import builtins
    sys.stdout = sys.stderr = None
    os._exit = os.write = os.read = None
    json.dumps = None
    builtins.print = builtins.len = None
    time.perf_counter = None
    return "still here"

def leaves_its_folder():
    os.chdir("/")
    return os.getcwd()

def exit_hook_hangs():
    atexit.register(time.sleep, 1000)
    return "hooked"
`;

const killed = "the process that ran the call was ended by signal";

/** Rows of one container go one after the other; each is followed by a call of \`fine\`. */
export const pythonDeaths: Death[] = [
  {
    name: "a time-out",
    call: ["sleeps"],
    timeoutMs: 300,
    kind: "timeout",
    message: "the call was still running after 0.3 s, its function's timeout",
  },
  { name: "a time-out of a loop", call: ["spins"], timeoutMs: 300, kind: "timeout" },
  { name: "a time-out within C code that is deaf to SIGTERM", call: ["stuck_in_c"], timeoutMs: 300, kind: "timeout" },
  { name: "cancel", call: ["sleeps"], cancel: true, kind: "cancelled", message: "the call was cancelled" },
  { name: "cancel with a handler, which is heard", call: ["handles"], cancel: true, kind: "cancelled", says: "asked to end" },
  {
    name: "cancel of a function that goes on: SIGKILL after 2 s",
    call: ["deaf"],
    cancel: true,
    kind: "cancelled",
    says: "not yet",
    atLeastMs: 1_900,
  },
  { name: "a result that comes after the cancel", call: ["returns_late"], cancel: true, kind: "cancelled" },
  {
    name: "out of memory",
    call: ["grow"],
    kind: "memory",
    message: /^the function ran out of memory \(limit 128 MiB, peak 12[78] MiB\): give it more with memory=$/,
  },
  {
    name: "a child out of memory, of which the function complains",
    call: ["grow_child_and_raise"],
    kind: "exception",
    type: "subprocess.CalledProcessError",
    message: /SIGKILL.*ended for want of memory, limit 128 MiB, peak 12[78] MiB/,
  },
  {
    name: "a child out of memory that nobody misses",
    call: ["grow_child_and_go_on"],
    result: -9,
    says: /a process of the container was ended for want of memory \(limit 128 MiB/,
  },
  {
    name: "files in memory until the runner itself is killed",
    call: ["grow_shared"],
    kind: "memory",
    message: /limit 128 MiB, peak 12[78] MiB/,
    ends: true,
  },
  { name: "os._exit(0)", call: ["exits", 0], kind: "exit", message: "the process that ran the call exited with code 0" },
  { name: "os._exit(3)", call: ["exits", 3], kind: "exit", message: "the process that ran the call exited with code 3" },
  {
    name: "os._exit in a thread",
    call: ["exits_in_thread"],
    kind: "exit",
    message: "the process that ran the call exited with code 5",
  },
  { name: "sys.exit(3)", call: ["leaves", 3], kind: "exception", type: "SystemExit", message: "the function called sys.exit(3)" },
  {
    name: "sys.exit with a text",
    call: ["leaves", "bye"],
    kind: "exception",
    type: "SystemExit",
    message: "the function called sys.exit('bye')",
  },
  {
    name: "sys.exit()",
    call: ["leaves", null],
    kind: "exception",
    type: "SystemExit",
    message: "the function called sys.exit()",
  },
  { name: "SystemExit in a thread", call: ["raises_exit_in_thread"], result: "went on" },
  {
    name: "a segmentation fault",
    call: ["segfault"],
    kind: "signal",
    message: `${killed} 11 (segmentation fault)`,
    says: /in segfault/,
  },
  { name: "abort", call: ["abort"], kind: "signal", message: `${killed} 6 (abort)` },
  { name: "killing itself", call: ["kills_itself"], kind: "signal", message: `${killed} 9 (killed)` },
  { name: "killing its group", call: ["kills_group"], kind: "signal", message: `${killed} 9 (killed)` },
  { name: "killing the runner, which is deaf to it", call: ["kills_runner"], result: 1 },
  { name: "killing everything else", call: ["kills_all"], result: "alone" },
  { name: "stopping itself", call: ["stops_itself"], timeoutMs: 300, kind: "timeout" },
  { name: "fork and return in both", call: ["forks"], result: false },
  { name: "fork and raise in the child", call: ["forks_and_raises"], result: "parent" },
  { name: "a daemon left behind", call: ["daemonises"], result: "left a daemon" },
  {
    name: "becoming a daemon",
    call: ["daemonises_itself"],
    kind: "exit",
    message: "the process that ran the call exited with code 0",
  },
  { name: "closing its stdout", ruins: true, call: ["closes_stdout"], result: "quiet", says: "before" },
  { name: "closing descriptors 1 and 2", ruins: true, call: ["closes_descriptors_1_and_2"], result: "quiet" },
  { name: "closing descriptor 3", call: ["closes_3"] },
  { name: "closing all descriptors", call: ["closes_all"], kind: ["exit", "signal"] },
  { name: "garbage into every descriptor", call: ["garbage"], kind: ["exit", "signal"] },
  { name: "the beginning of an impossible frame into every descriptor", call: ["oversize_frame"], kind: ["exit", "signal"] },
  { name: "a result of another call into every descriptor", call: ["lies"], result: "the truth" },
  { name: "100 MB of lines", call: ["prints_much"], result: "printed", prints: 100 << 20 },
  { name: "100 MB without a newline", call: ["prints_one_line"], result: "printed", prints: 100 << 20 },
  { name: "binary output", call: ["prints_binary"], result: "printed", says: "\uFFFD" },
  { name: "last words", call: ["prints_and_dies"], kind: "exit", says: "last words" },
  { name: "reading its stdin", call: ["reads_stdin"], result: ["", ""] },
  { name: "input()", call: ["asks"], kind: "exception", type: "EOFError" },
  { name: "a BaseException", call: ["raises", "Quiet"], kind: "exception", type: "app.Quiet", message: "Quiet" },
  {
    name: "an exception without a text",
    call: ["raises", "Hostile"],
    kind: "exception",
    type: "app.Hostile",
    message: /no text for you|cannot be had/,
  },
  { name: "an exception whose text never ends", call: ["raises", "Endless"], timeoutMs: 500, kind: "timeout" },
  { name: "an exception that cannot be pickled", call: ["raises", "Unpicklable"], kind: "exception", message: "holds a lock" },
  {
    name: "an exception of 5 MB",
    call: ["raises_long"],
    kind: "exception",
    message: /^x{16384}… \(5226496 more characters\)$/,
  },
  { name: "an exception with a cause", call: ["raises_deep"], kind: "exception", type: "KeyError" },
  { name: "KeyboardInterrupt", call: ["interrupt"], kind: "exception", type: "KeyboardInterrupt" },
  { name: "StopIteration", call: ["stop_iteration"], kind: "exception", type: "StopIteration", message: "early" },
  { name: "endless recursion", call: ["recurses"], kind: "exception", type: "RecursionError" },
  { name: "endless recursion in C", ruins: true, call: ["recurses_in_c"], kind: ["signal", "exception"] },
  { name: "endless recursion without a limit", call: ["no_recursion_limit"], kind: ["signal", "memory"] },
  {
    name: "a result that JSON cannot carry",
    call: ["returns", "socket"],
    kind: "encoding",
    message: 'returns: result["x"][1] is a socket; return numbers, text, lists, dicts or bytes',
  },
  { name: "a result that contains itself", call: ["returns", "itself"], kind: "encoding", message: /contains itself/ },
  { name: "a result with half a character", call: ["returns", "surrogate"], result: "\udcff" },
  { name: "a generator that raises", call: ["returns", "generator that raises"], kind: "exception", type: "ZeroDivisionError" },
  { name: "a result of 8 MiB less its quotes", call: ["returns", (8 << 20) - 2], length: (8 << 20) - 2 },
  {
    name: "a result of more",
    call: ["returns", 8 << 20],
    kind: "encoding",
    message: "returns: the result is 8.0 MiB as JSON, and a value is at most 8 MiB: return less of it at a time",
  },
  {
    name: "a full disk",
    call: ["fills_disk", "/var/tmp"],
    kind: "exception",
    type: "OSError",
    message:
      /No space left on device \(the container's disk holds 64 MiB, half of its memory: give the function more with memory=\)/,
  },
  { name: "a full /tmp", call: ["fills_disk", "/tmp"], kind: "exception", type: "OSError", message: /disk holds 64 MiB/ },
  {
    name: "a fork bomb",
    ruins: true,
    call: ["fork_bomb"],
    kind: "exception",
    type: "BlockingIOError",
    message: /the container reached its limit of 1024 processes and threads/,
    roomy: true,
  },
  { name: "a fork bomb that breeds", call: ["fork_bomb_that_breeds"], timeoutMs: 400, kind: "timeout", roomy: true },
  {
    name: "too many threads",
    call: ["many_threads"],
    kind: "exception",
    type: "RuntimeError",
    message: /limit of 1024 processes and threads/,
  },
  { name: "threads left behind", ruins: true, call: ["leaves_threads"], result: "left threads" },
  {
    name: "too many open files",
    ruins: true,
    call: ["opens_all"],
    kind: "exception",
    type: "OSError",
    message: /Too many open files/,
  },
  { name: "functions of the interpreter replaced", ruins: true, call: ["replaces_things"] },
  { name: "another current folder", call: ["leaves_its_folder"], result: "/" },
  { name: "an exit hook that hangs", ruins: true, call: ["exit_hook_hangs"], result: "hooked" },
];
