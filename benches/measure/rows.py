"""The table: what is measured of every proxy, and the ratio to nginx that is to be reached."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from .peers import MIB, OPEN_PATH
from .stage import Failure

GIB = 2**30
# With less of its requests answered in time a proxy does not keep up with a rate.
KEEPS_UP = 0.98
LONGEST_START = 20


@dataclass(frozen=True)
class Row:
    """`measure(scene, peer, seconds)` gives a figure in `unit` (less is better) and whatever else
    is known of the round; `None` for the figure: this peer cannot."""

    key: str
    title: str
    at_most: float
    aim: float
    unit: str
    measure: Callable
    secure: bool = False
    http2: bool = False
    # Whether nginx is shown as a second one that passes bodies on as they come.
    streaming: bool = False
    # Each round is a moment only, so there are more of them.
    is_brief: bool = False


def cpu(result):
    """The figure of most rows: µs a request."""
    return {**result, "value": result["cpu"]}


def keep_alive(path):
    def measure(scene, peer, seconds):
        return cpu(scene.loads.wrk(peer, seconds, path))
    return measure


def own_load(**plan):
    def measure(scene, peer, seconds):
        return cpu(scene.loads.own(peer, seconds=seconds, **plan))
    return measure


def download(scene, peer, seconds):
    """CPU seconds for each GiB that came down."""
    plan = {"path": "/files/10MiB", "connections": 8}
    result = scene.loads.own(peer, seconds=seconds, **plan)
    return {**result, "value": result["cpu_seconds"] * GIB / result["bytes"]}


def upload(scene, peer, seconds):
    """CPU seconds for each GiB that went up."""
    plan = {"path": "/up", "connections": 8, "body": 10 * MIB}
    result = scene.loads.own(peer, seconds=seconds, **plan)
    sent = result["requests"] * 10 * MIB
    return {**result, "value": result["cpu_seconds"] * GIB / sent}


def p99_at(share):
    """At a share of the rate that nginx reaches at most."""
    def measure(scene, peer, seconds):
        rate = scene.saturation() * share
        result = scene.loads.own(peer, seconds=seconds, rate=rate)
        keeps_up = result["requests"] >= KEEPS_UP * rate * seconds
        return {**result, "asked": rate, "value": result["p99"] if keeps_up else None}
    return measure


def start(scene, peer, _seconds):
    """Milliseconds from the start of the process to the first 200 through it."""
    fresh = type(peer)(scene)
    began = time.monotonic()
    process = fresh.spawn()
    try:
        while not answers(fresh.port):
            if process.poll() is not None or time.monotonic() - began > LONGEST_START:
                raise Failure(f"{peer.name} did not start")
            time.sleep(0.0002)
        return {"value": 1000 * (time.monotonic() - began)}
    finally:
        fresh.end()


def answers(port):
    """Whether a request gets a 200."""
    request = f"GET {OPEN_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request.encode())
            return connection.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


MICROSECONDS, PER_GIB = "CPU µs/request", "CPU s/GiB"

ROWS = [
    Row("keep-alive", "1 KiB answers, 64 keep-alive connections", 1.05, 0.92, MICROSECONDS,
        keep_alive("/project/overview?id=crm")),
    Row("64KiB", "64 KiB answers", 1.00, 0.85, MICROSECONDS, keep_alive("/files/64KiB")),
    Row("new-connection", "a new connection for each request", 1.18, 1.08, MICROSECONDS,
        own_load(each_new=True)),
    Row("tls", "TLS 1.3 keep-alive", 1.00, 0.90, MICROSECONDS, own_load(), secure=True),
    Row("http2", "HTTP/2 over TLS in", 1.00, 0.90, MICROSECONDS,
        own_load(connections=8, streams=8), secure=True, http2=True),
    Row("handshake", "full TLS 1.3 handshake and one request", 0.65, 0.55, MICROSECONDS,
        own_load(each_new=True, connections=32), secure=True),
    Row("down", "10 MiB down", 0.50, 0.40, PER_GIB, download, streaming=True),
    Row("up", "10 MiB up", 0.35, 0.28, PER_GIB, upload, streaming=True),
    Row("p99-quarter", "p99 latency at a quarter of nginx's saturation", 1.05, 0.95, "µs",
        p99_at(0.25)),
    Row("p99-half", "p99 latency at half of nginx's saturation", 1.05, 0.95, "µs", p99_at(0.5)),
    Row("start", "start to first 200", 0.60, 0.45, "ms", start, is_brief=True),
]
