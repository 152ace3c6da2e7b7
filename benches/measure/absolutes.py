"""What is measured in bytes, and what a request costs beside many sessions and connections.

Each function gives figures: `(who, value, unit)`.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import process
from .clients import Flows, Idle
from .peers import MIB, Nginx, Ours
from .rows import answers
from .stage import Failure

KIB = 1024
FEW_SESSIONS = 1000
# Bytes a second; None: as fast as it goes.
SPEEDS = (None, 20 * MIB, 5 * MIB)


@dataclass(frozen=True)
class Absolute:
    key: str
    title: str
    at_most: str
    measure: Callable
    needs_tls: bool = False


def idle_memory(scene):
    """Resident with one worker, after one request and some silence."""
    for kind in (Nginx, Ours):
        peer = kind(scene)
        peer.sessions = 0
        peer.start()
        scene.stage.wait_for(peer.process, peer.name, lambda peer=peer: answers(peer.port))
        process.settled_kib(peer.pid)
        yield peer.name, process.resident_alone_kib(peer.pid) / KIB, "MiB"
        peer.end()


def idle_connections(secure):
    """Bytes of each, above what one connection needs."""
    def measure(scene):
        for kind in (Nginx, Ours):
            peer = kind(scene, secure)
            peer.sessions = FEW_SESSIONS
            peer.start()
            cookies = read_lines(peer.cookies)
            with Idle(peer, 16, scene.certificate, cookies):
                before = process.settled_kib(peer.pid)
            number = scene.options.connections
            with Idle(peer, number, scene.certificate, cookies) as idle:
                after = process.settled_kib(peer.pid)
                if idle.are_open() < number:
                    raise Failure(f"{peer.name} closed {number - idle.are_open()} connections")
            yield peer.name, KIB * (after - before) / number, "bytes"
            peer.end()
    return measure


def flat_memory(scene):
    """Most that memory grew by while 50 MiB flowed both ways at three speeds at once."""
    for kind in (Nginx, Ours):
        peer = kind(scene)
        peer.sessions = 1
        peer.start()
        cookie = read_lines(peer.cookies)[0]
        before = most = process.resident_kib(peer.pid)
        flows = Flows(peer, scene.certificate, cookie, 50 * MIB, SPEEDS)
        while flows.are_running():
            most = max(most, process.resident_kib(peer.pid))
            time.sleep(0.02)
        yield peer.name, (most - before) / KIB, "MiB"
        peer.end()


def sessions(scene):
    """Bytes of a session beyond its tokens, and the ratio of a request's cost with many sessions
    to that with few."""
    few = Ours(scene, sessions=FEW_SESSIONS).start()
    many = Ours(scene, sessions=max(1, scene.options.many // 100)).start()
    before, made = process.settled_kib(many.pid), many.sessions
    rest = scene.stage.folder / "rest.cookies"
    began = time.monotonic()
    scene.logins.make(many.origin, scene.options.many - made, rest)
    rate = (scene.options.many - made) / (time.monotonic() - began)
    grown = KIB * (process.settled_kib(many.pid) - before) / (scene.options.many - made)
    yield "ours", grown - scene.logins.token_bytes, f"bytes, at {scene.options.many:,} sessions"
    yield "logins", rate, "a second"
    many.cookies = rest
    yield "ours", cost_ratio(scene, few, many), f"× the cost with {FEW_SESSIONS:,} sessions"
    many.end()
    few.end()


def cost_ratio(scene, one, other):
    """Of the CPU time for a request, by rounds in turn."""
    ratios = []
    for _ in range(scene.options.rounds):
        costs = [cost(scene, peer) for peer in (one, other)]
        ratios.append(costs[1] / costs[0])
    return statistics.median(ratios)


def cost(scene, peer):
    return scene.loads.own(peer, seconds=scene.options.seconds)["cpu"]


def beside_idle_connections(scene):
    """The ratio of a request's cost with idle connections beside it to that with none; rounds
    without come before and after, so that a drift of the machine does not count."""
    for kind in (Nginx, Ours):
        peer = kind(scene)
        peer.sessions = FEW_SESSIONS
        peer.start()
        rounds = range(max(1, scene.options.rounds // 2))
        alone = [cost(scene, peer) for _ in rounds]
        cookies = read_lines(peer.cookies)
        with Idle(peer, scene.options.connections, scene.certificate, cookies):
            beside = [cost(scene, peer) for _ in rounds]
        alone += [cost(scene, peer) for _ in rounds]
        value = statistics.median(beside) / statistics.median(alone)
        yield peer.name, value, f"× the cost without {scene.options.connections:,} connections"
        peer.end()


def read_lines(path):
    return path.read_text().splitlines()


ABSOLUTES = [
    Absolute("idle-memory", "resident when idle, one worker", "8 MiB", idle_memory),
    Absolute("connections", "an idle keep-alive connection", "2560 bytes (aim: 1229)",
             idle_connections(secure=False)),
    Absolute("tls-connections", "an idle TLS connection", "15360 bytes",
             idle_connections(secure=True), needs_tls=True),
    Absolute("flat-memory", "growth while 50 MiB flow both ways at three speeds", "flat",
             flat_memory),
    Absolute("sessions", "a session beyond its tokens", "700 bytes; cost unchanged", sessions),
    Absolute("beside", "a request beside idle connections", "cost unchanged",
             beside_idle_connections),
]
