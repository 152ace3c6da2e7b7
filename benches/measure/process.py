"""CPU time and memory of a process with its children, as the kernel counts them."""

import os
import re
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def family(pid):
    """The process and its children."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            pids += family(int(child))
    return pids


def cpu_seconds(pid):
    """User and system time of all threads."""
    user = system = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return user / TICK, system / TICK


def resident_kib(pid):
    """What is in memory, pages that are shared with others counted in part (PSS)."""
    return sum(_rollup(one, "Pss") for one in family(pid))


def resident_alone_kib(pid):
    """What is in memory, shared pages counted in full (RSS)."""
    return sum(_rollup(one, "Rss") for one in family(pid))


def _rollup(pid, field):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE).group(1))


def settled_kib(pid, quiet=3.0, most=20.0):
    """Memory once it has not shrunk for `quiet` seconds, after `most` seconds in any case."""
    until, least = time.monotonic() + most, resident_kib(pid)
    since = time.monotonic()
    while time.monotonic() < min(until, since + quiet):
        time.sleep(0.25)
        now = resident_kib(pid)
        # What grows or shrinks by less than one in two hundred is at rest.
        if now < least * 0.995:
            least, since = now, time.monotonic()
    return resident_kib(pid)
