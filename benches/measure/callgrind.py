"""Instructions that a process executes for a request (user mode only), counted by callgrind.

The process runs under valgrind from its start. A run of N requests and one of 2N are counted; what
is more in the second is the price of N requests, without connections, start and the like.
"""

import re
import subprocess

from .stage import Failure


class Counted:
    """A peer under callgrind."""

    def __init__(self, scene, peer):
        self.scene, self.peer = scene, peer
        self._out = scene.stage.folder / f"{peer.id}.callgrind"
        self._dumps = 0
        before = [
            scene.tools.path("valgrind"), "--tool=callgrind", "--quiet",
            f"--callgrind-out-file={self._out}", "--",
        ]
        peer.start(before, seconds=120)

    def per_request(self, requests, **plan):
        """Of the plan's requests, one after the other on one connection."""
        self._run(requests // 4, plan)
        once, twice = self._run(requests, plan), self._run(2 * requests, plan)
        return (twice - once) / requests

    def _run(self, requests, plan):
        """Instructions since the last time."""
        words = {"connections": 1, "requests": requests, **plan}
        if "streams" in plan:
            words["streams"] = 1
        self.scene.loads.own(self.peer, **words)
        return self._dump()

    def _dump(self):
        command = ["callgrind_control", "--dump", str(self.peer.pid)]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        self._dumps += 1
        if not self._last_dump().exists():
            raise Failure(f"callgrind did not dump: {said.stdout}{said.stderr}")
        totals = re.findall(r"^totals: (\d+)", self._last_dump().read_text(), re.MULTILINE)
        return int(totals[-1])

    def _last_dump(self):
        return self._out.with_name(f"{self._out.name}.{self._dumps}")
