"""Sessions of this proxy, made by as many logins through the front door (benches/sessions.rs)."""

import subprocess

from .stage import LOAD_CORE, Failure


class Logins:
    """A Bitbucket simulator, and the people who log in."""

    def __init__(self, stage, binary, certificate, people):
        self._process = stage.start(
            LOAD_CORE, binary, people, certificate.path,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        words = self._process.stdout.readline().split()
        if len(words) != 4:
            raise Failure("the Bitbucket simulator did not come up")
        names = ("url", "client_id", "client_secret")
        self.bitbucket = dict(zip(names, words))
        # Bytes of the access and the refresh token of one session.
        self.token_bytes = int(words[3])

    def make(self, origin, number, file):
        """So many sessions; their cookies are the lines of the file."""
        self._tell(f"login {origin} {number} {file}")

    def live_for(self, seconds):
        """Access tokens live so long from now on."""
        self._tell(f"life {seconds}")

    def _tell(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            raise Failure("no sessions could be made")
