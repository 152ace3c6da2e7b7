"""Clients that hold connections, or are slow."""

import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from .stage import Failure

CHUNK = 64 * 1024


def connect(peer, certificate):
    """A connection, with TLS where the peer has it."""
    place = urlsplit(peer.origin)
    connection = socket.create_connection((place.hostname, place.port), timeout=60)
    if not peer.secure:
        return connection
    trust = ssl.create_default_context(cafile=certificate.path)
    trust.set_alpn_protocols(["http/1.1"])
    return trust.wrap_socket(connection, server_hostname=place.hostname)


def head(peer, method, path, cookie, more=""):
    """The head of a request of a browser that is logged in."""
    host = urlsplit(peer.origin).netloc
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: same-origin\r\n"
        f"Cookie: theirs=1; {cookie}\r\n{more}\r\n"
    ).encode()


def read_answer(connection, chunk=CHUNK, pause=0.0):
    """To the end of a body of known length; `pause` seconds after each piece."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(chunk)
        if not more:
            raise Failure(f"closed within an answer: {data[:200]}")
        data += more
    fields, _, body = data.partition(b"\r\n\r\n")
    if not fields.startswith(b"HTTP/1.1 2"):
        raise Failure(f"answered {fields[:500].decode(errors='replace')}")
    left = length_of(fields) - len(body)
    while left > 0:
        time.sleep(pause)
        more = connection.recv(min(left, chunk))
        if not more:
            raise Failure("closed within a body")
        left -= len(more)


def length_of(fields):
    for line in fields.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class Idle:
    """Connections that have each served a request, open until it is left."""

    def __init__(self, peer, number, certificate, cookies):
        self.connections = []
        for count in range(number):
            connection = connect(peer, certificate)
            connection.sendall(head(peer, "GET", "/", cookies[count % len(cookies)]))
            read_answer(connection)
            self.connections.append(connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            connection.close()

    def are_open(self):
        """How many of them the other side has not closed."""
        return sum(_is_open(connection) for connection in self.connections)


def _is_open(connection):
    connection.setblocking(False)
    try:
        # TLS tickets may still be on their way; the end is an empty read.
        return connection.recv(CHUNK) != b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


class Flows:
    """Bodies of `size` bytes both ways at so many bytes a second each (None: as fast as goes)."""

    def __init__(self, peer, certificate, cookie, size, speeds):
        self.failure = None
        self._peer, self._certificate, self._cookie = peer, certificate, cookie
        self._size = size
        kinds = [(kind, speed) for kind in (self._down, self._up) for speed in speeds]
        self._threads = [
            threading.Thread(target=self._run, args=kind, daemon=True) for kind in kinds
        ]
        for thread in self._threads:
            thread.start()

    def are_running(self):
        if self.failure:
            raise Failure(str(self.failure))
        return any(thread.is_alive() for thread in self._threads)

    def _run(self, kind, speed):
        try:
            with connect(self._peer, self._certificate) as connection:
                kind(connection, CHUNK / speed if speed else 0.0)
        except (OSError, Failure) as error:
            self.failure = error

    def _down(self, connection, pause):
        connection.sendall(head(self._peer, "GET", "/files/50MiB", self._cookie))
        read_answer(connection, pause=pause)

    def _up(self, connection, pause):
        length = f"Content-Length: {self._size}\r\n"
        connection.sendall(head(self._peer, "POST", "/up", self._cookie, length))
        piece = bytes(CHUNK)
        for _ in range(self._size // CHUNK):
            connection.sendall(piece)
            time.sleep(pause)
        read_answer(connection)
