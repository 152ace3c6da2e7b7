"""Where everything is started, and from where everything is gone at the end."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The load and the upstream on one core, what is measured on the other.
LOAD_CORE, PROXY_CORE = 0, 1


class Failure(Exception):
    """Something that ends the measurement; its text is for people."""


class Stage:
    """A folder and processes, ended by their ids when it is left."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="compare-"))
        self._processes = []
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def __enter__(self):
        os.sched_setaffinity(0, {LOAD_CORE})
        return self

    def __exit__(self, *_):
        for process in self._processes:
            self.end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def fill(self, name, size):
        """A file of so many bytes."""
        return self.write(name, "x" * size)

    def start(self, core, *command, **more):
        """Starts a program on a core. Its errors, and unless told otherwise its output, go to a
        file that is shown if it ends too early."""
        log = (self.folder / f"{len(self._processes)}.log").open("w")
        more = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **more}
        with on_core(core), log:
            process = subprocess.Popen([str(word) for word in command], **more)
        process.log = log.name
        self._processes.append(process)
        return process

    def end(self, process, kill_after=15):
        """Asks it to end, and sees to it."""
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait_for(self, process, what, ready, seconds=30):
        """Until `ready()`, or a failure with what the process said."""
        until = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                said = Path(process.log).read_text(errors="replace")[-2000:]
                raise Failure(f"{what} did not come up:\n{said}")
            time.sleep(0.02)


@contextlib.contextmanager
def on_core(core):
    """What is started meanwhile runs there. (taskset would add its own start.)"""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def accepts(port):
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def say(text=""):
    """A line for whoever watches."""
    print(text, flush=True)


def warn(text):
    print(text, file=sys.stderr, flush=True)
