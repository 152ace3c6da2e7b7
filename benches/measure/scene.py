"""Everything that a measurement needs, set up once."""

import contextlib
import secrets
from dataclasses import dataclass, field

from . import tools
from .loads import Loads
from .logins import Logins
from .peers import (
    CLASSES, Certificate, Nginx, OAuth2Proxy, Ours, StreamingNginx, Upstream, has_tls,
)
from .provider import Provider
from .rows import ROWS
from .stage import say

WITHOUT_TLS = "this build of the proxy has no server.tls_certificate_file"


class Scene:
    """The upstream, the certificate, the makers of sessions and load; peers are started as rows
    need them."""

    def __init__(self, stage, tool, options):
        self.stage, self.tools, self.options = stage, tool, options
        self.proxy = options.proxy or tools.build_proxy()
        self.has_tls = has_tls(self.proxy)
        binaries = tools.build_loads()
        self.certificate = Certificate(stage, tool)
        self.upstream = Upstream(stage, tool)
        self.provider = Provider()
        people = max(1, max(options.sessions, options.many) // 100)
        self.logins = Logins(stage, binaries["sessions"], self.certificate, people)
        self.loads = Loads(stage, tool, binaries, self.certificate.path)
        self.some_cookies = self._some_cookies()
        self._started, self._saturation = {}, None

    def peer(self, kind, secure=False):
        """A running one, started the first time."""
        key = (kind, secure)
        if key not in self._started:
            self._started[key] = kind(self, secure).start(seconds=60)
        return self._started[key]

    def saturation(self):
        """Requests a second of nginx, 1 KiB, keep-alive; measured once."""
        if self._saturation is None:
            peer = self.peer(Nginx)
            found = [self.loads.wrk(peer, self.options.seconds)["rate"] for _ in range(3)]
            self._saturation = sorted(found)[1]
            say(f"nginx's saturation: {self._saturation:.0f} requests/s")
        return self._saturation

    def _some_cookies(self):
        """As our sessions look, for proxies that only pass them on."""
        names = (f"codescan_session={secrets.token_urlsafe(32)}\n"
                 for _ in range(self.options.sessions))
        return self.stage.write("some.cookies", "".join(names))


@dataclass
class Results:
    """What came of it."""

    peers: list
    facts: list
    left_out: dict = field(default_factory=dict)
    rows: list = field(default_factory=list)
    absolutes: list = field(default_factory=list)


def measure_rows(scene, results, keys):
    """The rows, one after the other; within a row the peers take turns."""
    for row in (row for row in ROWS if row.key in keys):
        say(f"\n{row.title}")
        kinds = [CLASSES[name] for name in results.peers]
        kinds += [StreamingNginx] if row.streaming and "nginx" in results.peers else []
        for kind, why in unable(scene, row):
            if kind in kinds:
                results.left_out[f"{kind.name}, {row.title}"] = why
                kinds.remove(kind)
        peers = [scene.peer(kind, row.secure) for kind in kinds]
        results.rows.append((row, in_turn(scene, row, peers)))


def unable(scene, row):
    """Kinds of peers that have no part in a row, and why."""
    if row.secure and not scene.has_tls:
        yield Ours, WITHOUT_TLS
    if row.http2:
        yield OAuth2Proxy, "it serves TLS with HTTP/1.1 only"


def in_turn(scene, row, peers):
    """Rounds by name of the peer. Each round begins with another one, so that none always comes
    second."""
    options, found = scene.options, {peer.name: [] for peer in peers}
    if not row.is_brief:
        for peer in peers:
            row.measure(scene, peer, 1)
    rounds = max(options.rounds, options.starts) if row.is_brief else options.rounds
    for number in range(rounds):
        first = number % len(peers)
        for peer in peers[first:] + peers[:first]:
            found[peer.name].append(row.measure(scene, peer, options.seconds))
        shown = ", ".join(f"{name} {shown_figure(all_[-1])}" for name, all_ in found.items())
        say(f"  round {number + 1:2}  {shown}")
    return found


def shown_figure(one):
    return "–" if one["value"] is None else f"{one['value']:.4g}"


def measure_absolutes(scene, results, absolutes):
    """Memory and such."""
    for absolute in absolutes:
        if absolute.needs_tls and not scene.has_tls:
            results.left_out[absolute.title] = WITHOUT_TLS
            continue
        say(f"\n{absolute.title}")
        figures = []
        with contextlib.closing(absolute.measure(scene)) as measuring:
            for who, value, unit in measuring:
                say(f"  {who} {value:.2f} {unit}")
                figures.append((who, value, unit))
        results.absolutes.append((absolute, figures))
