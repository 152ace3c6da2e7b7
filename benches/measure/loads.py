"""Load on one proxy, and what it cost.

Plain keep-alive load is wrk's, which is known everywhere; the rest, which wrk cannot do, is our
own (benches/load). Both choose a session at random for each request.
"""

import json
import re
import select
import subprocess
import time

from . import process
from .stage import LOAD_CORE, Failure, on_core

# Seconds that one run may take.
LONGEST = 120

# Every request of a thread is made beforehand.
SCRIPT = """
function init(args)
   math.randomseed(os.time())
   requests = {}
   for cookie in io.lines(args[2]) do
      wrk.headers["Cookie"] = "theirs=1; " .. cookie
      requests[#requests + 1] = wrk.format("GET", args[1])
   end
end
function request()
   return requests[math.random(#requests)]
end
"""


class Loads:
    """What makes load, with the paths that it needs."""

    def __init__(self, stage, tools, binaries, certificate):
        self.stage = stage
        self.wrk_binary = tools.path("wrk")
        self.own_binary = binaries["load"]
        self.certificate = certificate
        self.script = stage.write("load.lua", SCRIPT)

    def wrk(self, peer, seconds, path="/", connections=64):
        """Keep-alive connections; figures as `own` gives them."""
        command = [
            self.wrk_binary, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
            "-s", self.script, peer.origin, "--", path, peer.cookies,
        ]
        before, began = process.cpu_seconds(peer.pid), time.monotonic()
        with on_core(LOAD_CORE):
            said = subprocess.run(
                list(map(str, command)), capture_output=True, text=True, check=False,
                timeout=seconds + 60,
            )
        after, took = process.cpu_seconds(peer.pid), time.monotonic() - began
        if said.returncode or "Non-2xx" in said.stdout or "Socket errors" in said.stdout:
            raise Failure(f"{peer.name}: errors\n{said.stdout}{said.stderr}")
        requests = int(re.search(r"(\d+) requests in", said.stdout).group(1))
        return figures(before, after, requests, took, _wrk_p99(said.stdout))

    def own(self, peer, **plan):
        """Words of benches/load, such as seconds=3, streams=8, each_new=True."""
        with self.begin(peer, **plan) as load:
            before = process.cpu_seconds(peer.pid)
            result = load.go()
            after = process.cpu_seconds(peer.pid)
        return {
            **figures(before, after, result["requests"], result["seconds"], result["p99"]),
            "bytes": result["bytes"],
        }

    def begin(self, peer, **plan):
        """Connections are open when it returns; `go()` does the rest."""
        words = {"origin": peer.origin, "cookies": peer.cookies, "ca": self.certificate, **plan}
        words = [f"{key}={str(value).lower() if isinstance(value, bool) else value}"
                 for key, value in words.items()]
        return Running(peer.name, [self.own_binary, *words])


class Running:
    """One run of our own load."""

    def __init__(self, name, command):
        self.name = name
        with on_core(LOAD_CORE):
            self.process = subprocess.Popen(
                list(map(str, command)), text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        self._expect("ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def go(self):
        """Runs to the end; what it says then."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self._expect("{"))

    def _expect(self, start):
        # Not select(): beside thousands of open connections its descriptors do not suffice.
        waiting = select.poll()
        waiting.register(self.process.stdout, select.POLLIN)
        in_time = waiting.poll(1000 * LONGEST)
        line = self.process.stdout.readline() if in_time else f"nothing for {LONGEST} s"
        if not line.startswith(start):
            self.process.kill()
            raise Failure(f"{self.name}: errors\n{line}{self.process.stderr.read()}")
        return line


def figures(before, after, requests, seconds, p99):
    """Microseconds a request, but for `cpu_seconds`, and requests a second."""
    if not requests:
        raise Failure("not one request was answered")
    user, system = after[0] - before[0], after[1] - before[1]
    return {
        "cpu": 1e6 * (user + system) / requests,
        "user": 1e6 * user / requests,
        "system": 1e6 * system / requests,
        "cpu_seconds": user + system,
        "requests": requests,
        "rate": requests / seconds,
        "p99": p99,
    }


def _wrk_p99(said):
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
