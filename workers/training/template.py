"""`python -m workers.training.template`: has imported what runs need, and forks their children.

Its stdin is a socket to its agent, which asks two questions:

    READY is answered by READY, once everything is imported.
    FORK, with the descriptors that will be the child's stdin, stdout and stderr, is answered by
        the child with the number of its process.

Where it cannot answer as it should, it ends, and the agent starts another one. Its children do not
notice, because they are children of the agent, which ends them and which they cannot outlive.
"""

import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from service import logs
from service.processes import die_with_parent
from workers.training import child
from workers.training.messages import FORK, READY

#: Modules that a run imports, the last two not before its first gradients and its first table.
NEEDED = ("polar.experiment.run", "torch.nested._internal.nested_tensor", "pyarrow.parquet")


def main() -> None:
    """Import what runs need, and fork a child for each of them."""
    logs.set_up()
    for name in NEEDED:
        import_module(name)
    serve(child.main)


def serve(work: Callable[[], int]) -> None:
    """Answer the agent until it has ended, or until an imported file changes.

    Args:
        work: What a child does; returns its exit code.
    """
    agent = socket.socket(fileno=0)
    bind_to_agent = die_with_parent(signal.SIGKILL, parent=os.getppid())
    imported = _imported_files()
    gc.collect()
    gc.freeze()  # the collector of a child would otherwise write to the pages that it shares
    while True:
        question, descriptors, *_ = socket.recv_fds(agent, len(READY), 3)
        if question == READY and _imported_files() == imported:
            agent.send(READY)
        elif question == FORK:
            _fork(work, agent, descriptors, bind_to_agent)
        else:
            return


def _imported_files() -> dict[str, int]:
    """The files of all imported modules, with the times of their last change."""
    files = {}
    for module in tuple(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        with suppress(OSError):  # some modules of torch have paths that do not exist
            files[path] = os.stat(path).st_mtime_ns
    return files


def _fork(
    work: Callable[[], int],
    agent: socket.socket,
    descriptors: Sequence[int],
    bind_to_agent: Callable[[], None],
) -> None:
    """Fork a process that forks the child and ends, so that the agent adopts the child."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:  # the child would wait for ever for a lock that another thread holds
        raise RuntimeError(f"the template has {threads} threads; allowed: 1")
    parent = os.fork()
    if parent == 0:
        parent = os.getpid()
        if os.fork() == 0:
            _be_child(work, agent, descriptors, bind_to_agent, parent)
        os._exit(0)
    _, status = os.waitpid(parent, 0)
    if status != 0:
        raise ChildProcessError(f"the process that forks a child ended with status {status}")
    for descriptor in descriptors:
        os.close(descriptor)


def _be_child(
    work: Callable[[], int],
    agent: socket.socket,
    descriptors: Sequence[int],
    bind_to_agent: Callable[[], None],
    parent: int,
) -> NoReturn:
    code = 1
    try:
        os.setsid()
        while os.getppid() == parent:
            os.sched_yield()  # the parent is ending
        bind_to_agent()
        agent.send(str(os.getpid()).encode())
        agent.detach()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        code = work()
    except BaseException:
        logging.getLogger(__name__).exception("this child ends by an error")
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # whatever keeps them from it, the child must not go on as a second template
            os._exit(code)


if __name__ == "__main__":
    main()
