"""What it runs on."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def first_line(*command):
    """What a program says of itself, or a dash."""
    try:
        result = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return "-"
    lines = (result.stdout + result.stderr).strip().splitlines()
    return lines[0].strip() if lines else "-"


def facts(tools):
    """Pairs of a name and a value."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1))
    commit = first_line("git", "-C", ROOT, "describe", "--always", "--dirty")
    yield "machine", f"{os.cpu_count()} × {model.group(1) if model else '?'}, {memory >> 20} GiB"
    yield "kernel", f"Linux {os.uname().release}"
    yield "load average at the start", f"{os.getloadavg()[0]:.2f}"
    yield "compiler", first_line("rustc", "--version")
    yield "commit", commit
    yield from tools.versions()
