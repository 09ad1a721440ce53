"""
⑤ The process of which runners are forks: a node has one, root's, that has loaded what a runner needs and never runs anybody's code.

A runner is forked into a pid namespace of its own, of which it is pid 1, and waits there while runc makes a container around that
namespace. Then it enters the container: it takes over what runc's first process has (its namespaces, its descriptors 0 to 3, its seccomp
filter) and gives up what that process has given up. The agent speaks lines of JSON on fd 3:

    make   {id, user}         → {id, pid}  user: a descriptor of the agent's, of the user namespace that owns the new pid namespace
    enter  {id, pid, first, openFiles}  → {id}  first: the pid of runc's process
    drop   {id, pid}        → {id}
                              → {id, error} where it failed

and hears {"id": 0} once it is ready.
"""

from __future__ import annotations

import _signal as signal
import sys

_of_python_itself = frozenset(sys.modules)

if __name__ == "__main__":
    sys.path[0] = sys.path[0].rpartition("/hob/_runner")[0]

import array
import ctypes
import gc
import json
import os
import platform
import resource
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_agent_fd = 3
_libc = ctypes.CDLL(None, use_errno=True)

# include/uapi/linux/sched.h; in the order in which they are entered, the user namespace having been the first
_clone_newpid, _clone_newuser = 0x20000000, 0x10000000
_namespaces = {"cgroup": 0x02000000, "ipc": 0x08000000, "uts": 0x04000000, "net": 0x40000000, "mnt": 0x00020000}
# include/uapi/linux/prctl.h
_pr_set_dumpable, _pr_set_seccomp, _pr_capbset_drop, _pr_set_no_new_privs, _pr_cap_ambient = 4, 22, 24, 38, 47
_pr_cap_ambient_clear_all, _seccomp_mode_filter = 4, 2
# include/uapi/linux/ptrace.h
_ptrace_seize, _ptrace_interrupt, _ptrace_detach, _ptrace_seccomp_get_filter = 0x4206, 0x4207, 17, 0x420C
_wall = 0x40000000
_pidfd_getfd = 438
_keyctl = {"x86_64": 250, "aarch64": 219}
_keyctl_join_session_keyring = 1
_instruction_bytes = 8  # struct sock_filter


def _checked(result: int, operation: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{operation}: {os.strerror(number)}")
    return result


def _prctl(option: int, *arguments: int) -> int:
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    return _libc.prctl(option, *words)


def _descriptor_of(process: int, number: int) -> int:
    return _checked(_libc.syscall(_pidfd_getfd, process, number, 0), f"pidfd_getfd {number}")


def seccomp_filters(pid: int) -> list[bytes]:
    """The programs that filter the process' system calls, the oldest first. Needs CONFIG_CHECKPOINT_RESTORE, and no filter of our own."""
    ptrace = _libc.ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    ptrace.restype = ctypes.c_long
    _checked(ptrace(_ptrace_seize, pid, None, None), "ptrace (seize)")
    try:
        _checked(ptrace(_ptrace_interrupt, pid, None, None), "ptrace (interrupt)")
        os.waitpid(pid, _wall)
        filters: list[bytes] = []
        while True:
            count = ptrace(_ptrace_seccomp_get_filter, pid, len(filters), None)
            if count < 0 and ctypes.get_errno() == 2:  # ENOENT: no more of them
                return filters
            program = ctypes.create_string_buffer(_checked(count, "ptrace (seccomp filter)") * _instruction_bytes)
            _checked(ptrace(_ptrace_seccomp_get_filter, pid, len(filters), program), "ptrace (seccomp filter)")
            filters.append(program.raw)
    finally:
        ptrace(_ptrace_detach, pid, None, None)


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def _confine(open_files: int, filters: list[bytes]) -> None:
    """Gives up what runc's process has given up, in this order: each step needs what a later one takes."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keyctl = _keyctl.get(platform.machine())
    if keyctl:
        _checked(_libc.syscall(keyctl, _keyctl_join_session_keyring, None), "keyctl (join a session keyring)")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    for capability in range(64):
        if _prctl(_pr_capbset_drop, capability) < 0:
            break  # there are no more
    _checked(_prctl(_pr_cap_ambient, _pr_cap_ambient_clear_all), "prctl (ambient capabilities)")
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, ourselves
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _checked(_prctl(_pr_set_no_new_privs, 1), "prctl (no new privileges)")
    _checked(_prctl(_pr_set_dumpable, 1), "prctl (dumpable)")  # else /proc/self would be the node's root's
    for program in filters:
        of_it = _Program(len(program) // _instruction_bytes, program)
        _checked(_libc.prctl(_pr_set_seccomp, _seccomp_mode_filter, ctypes.byref(of_it), 0, 0), "prctl (seccomp)")


def _serve(link: socket.socket) -> NoReturn:
    """In the fork, pid 1 of its namespace: waits for its container, enters it, waits for its start, and is its runner."""
    message, fds, _flags, _address = socket.recv_fds(link, 1 << 20, 16)
    if not message:
        os._exit(0)  # no container came of it
    head, _, programs = message.partition(b"\n")
    order = json.loads(head)
    try:
        for fd, kind in zip(fds[4:], _namespaces.values()):
            _checked(_libc.setns(fd, kind), "setns")
        os.chdir("/")
        os.setsid()
        filters, begin = [], 0
        for length in order["filters"]:
            filters.append(programs[begin : begin + length])
            begin += length
        spare = max(*fds, link.fileno()) + 1
        moved = [os.dup2(fd, spare + index) for index, fd in enumerate(fds[:4])]  # out of the way of what they become
        ours = os.dup2(link.fileno(), spare + 4)
        for number, fd in enumerate(moved):
            os.dup2(fd, number)
        os.dup2(ours, 4)
        os.closerange(5, spare + 5)
        _confine(order["openFiles"], filters)
        os.write(4, b"{}")
    except BaseException as error:
        os.write(4 if "ours" in locals() else link.fileno(), json.dumps({"error": str(error)}).encode())
        os._exit(70)
    os.close(4)
    if os.read(_agent_fd, 1) == b"":
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        zygote.Zygote(agent_fd=_agent_fd, startup_modules=_of_python_itself).run()
    except BaseException:  # the forerunner's code above this frame must not go on in two processes
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(70)


class _Forerunner:
    def __init__(self) -> None:
        self._agent = os.pidfd_open(os.getppid())
        self._waiting: dict[int, socket.socket] = {}  # by pid
        self._filters: list[bytes] | None = None

    def make(self, order: dict[str, Any]) -> dict[str, Any]:
        user = _descriptor_of(self._agent, order["user"])
        ours, theirs = socket.socketpair()
        told, tell = os.pipe()
        between = os.fork()
        if between == 0:
            try:
                _checked(_libc.setns(user, _clone_newuser), "setns (user namespace)")
                _checked(_libc.unshare(_clone_newpid), "unshare (pid namespace)")
                pid = os.fork()
                if pid == 0:
                    kept = os.dup2(theirs.fileno(), _agent_fd)
                    os.closerange(_agent_fd + 1, 1 << 16)
                    theirs.detach()
                    _serve(socket.socket(fileno=kept))
                os.write(tell, str(pid).encode())
            except BaseException as error:
                os.write(tell, str(error).encode())
            finally:
                os._exit(0)
        theirs.close()
        os.close(tell)
        os.close(user)
        answer = os.read(told, 4096).decode()
        os.close(told)
        os.waitpid(between, 0)
        if not answer.isdigit():
            ours.close()
            raise OSError(answer)
        self._waiting[int(answer)] = ours
        return {"pid": int(answer)}

    def enter(self, order: dict[str, Any]) -> dict[str, Any]:
        link = self._waiting.pop(order["pid"])
        first = os.pidfd_open(order["first"])
        fds: list[int] = []
        try:
            fds.extend(_descriptor_of(first, number) for number in range(4))
            fds.extend(os.open(f"/proc/{order['first']}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in _namespaces)
            if self._filters is None:
                self._filters = seccomp_filters(order["first"])
            head = json.dumps({"openFiles": order["openFiles"], "filters": [len(program) for program in self._filters]})
            socket.send_fds(link, [head.encode() + b"\n" + b"".join(self._filters)], array.array("i", fds))
            answer = link.recv(4096)
        finally:
            for fd in (first, *fds):
                os.close(fd)
            link.close()
        return json.loads(answer or b'{"error": "it has ended"}')

    def drop(self, order: dict[str, Any]) -> dict[str, Any]:
        """It ends by itself when its link does, unless it has entered its container."""
        link = self._waiting.pop(order["pid"], None)
        if link is not None:
            link.close()
        return {}

    def run(self) -> None:
        os.write(_agent_fd, b'{"id":0}\n')
        with os.fdopen(_agent_fd, "rb", buffering=0, closefd=False) as stream:
            for line in stream:
                order = json.loads(line)
                try:
                    answer = getattr(self, order["do"])(order)
                except (OSError, KeyError) as error:
                    answer = {"error": str(error)}
                os.write(_agent_fd, json.dumps({**answer, "id": order["id"]}).encode() + b"\n")


if __name__ == "__main__":
    from hob._runner import zygote
    from hob._runner.preload import Preloader

    preloader = Preloader()
    preloader.import_sdk()
    preloader.import_parser()
    gc.collect()
    gc.freeze()  # so that no collection writes to what all runners share
    _Forerunner().run()
