"""⑥ Starts the runner: pid 1 of a Python container, the agent's socket is fd 3."""

import _signal as signal  # the module over it costs a start 1 ms
import sys

_of_python_itself = frozenset(sys.modules)  # before ours: these a project cannot replace, on a laptop neither

if __name__ == "__main__":
    # The script's own folder came first on the path; what must be there is the folder that holds the package `hob`.
    sys.path[0] = sys.path[0].rpartition("/hob/_runner")[0]
    from hob._runner.zygote import Zygote

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a handler, the kernel keeps from pid 1 what user code sends it

    Zygote(agent_fd=3, startup_modules=_of_python_itself).run()
