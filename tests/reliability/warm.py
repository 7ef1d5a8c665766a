"""A process that has imported everything and forks a run of the command line for each request on its standard input."""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import json
import multiprocessing
import os
import re
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from importlib import import_module
from pathlib import Path
from typing import Any

import cli
from pipeline import executor, keys, raster  # noqa: F401 - the door sets what GDAL reads when it starts

# Whoever starts the tests in the background of a shell has them ignore Ctrl-C; the runs here are the user's in front.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("geopandas", "jinja2", "matplotlib.figure", "safetensors.torch", "scipy.stats", "torch"):
    import_module(name)
for path in sorted(Path(executor.__file__).parent.rglob("*.py")):
    if path.name != "__init__.py":
        relative = path.relative_to(Path(executor.__file__).parent.parent).with_suffix("")
        import_module(".".join(relative.parts))
torch = import_module("torch")
torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], fused=True)  # imports hundreds of modules when first called
# What judges generators and screens chips trains networks of its own: here a few steps of each will do.
for name in ("pipeline.gan.features", "pipeline.teaching", "pipeline.synth.scorer"):
    import_module(name).STEPS = 3

# Digests of code are computed once here instead of in every process of every run.
for name in ("ingest", "chips", "gan", "synth", "classify", "report"):
    module = import_module(f"pipeline.{name}.stage")
    for maker in {*re.findall(r"pipeline\.[a-z_.]+:[a-z_]+", inspect.getsource(module))} | {
        f"{module.__name__}:{one}" for one in vars(module) if one.startswith("make")
    }:
        with contextlib.suppress(Exception):
            keys._code(maker)

spawn = multiprocessing.get_context
multiprocessing.get_context = lambda method=None: spawn("fork")  # type: ignore[assignment]


LEAD = 44
"""Where the shim's state holds the process that signals go to."""


class Inline(Executor):
    """Makes parts where it is called."""

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def inline(compute: Any, workers: int) -> Iterator[Executor]:
    yield Inline()


def child(request: dict[str, Any]) -> None:
    os.setsid()
    os.chdir(request["folder"])
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with open(os.environ["SHIM_STATE"], "r+b") as state:  # noqa: PTH123
        state.seek(LEAD)
        state.write(struct.pack("<I", os.getpid()))
    os.environ.update(request["environment"])
    if request["memory_gb"] is not None:
        executor.cap_memory(request["memory_gb"])
    if request["inline"]:
        import_module("pipeline.runner").open_executor = inline
    code = 70
    try:
        if request["call"]:
            module, _, function = request["call"].partition(":")
            getattr(import_module(module), function)(*request["arguments"])
            raise SystemExit(0)
        cli.main(request["arguments"])
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 0 if done.code is None else 1
    except BaseException as error:
        os.write(2, f"Traceback: {error!r}".encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait(pid: int, patience_s: float) -> int | None:
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def main() -> None:
    # What a killed run leaves behind is this process's to bury.
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer: dict[str, Any] = {"ready": True}
        else:
            began = time.monotonic()
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            before = used.ru_utime + used.ru_stime
            pid = os.fork()
            if pid == 0:
                child(request)
            code = wait(pid, request["patience_s"])
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            while True:
                try:
                    os.waitpid(-1, 0)
                except ChildProcessError:
                    break
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            answer = {"code": code, "seconds": time.monotonic() - began, "cpu": used.ru_utime + used.ru_stime - before}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
