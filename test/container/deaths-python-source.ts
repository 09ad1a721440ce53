// The module whose functions die in every way: deaths-python.ts says what becomes of a call of each.

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
