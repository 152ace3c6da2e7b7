"""A stand-in for GitHub, just enough for oauth2-proxy to log people in, and the logins."""

import http.client
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from .stage import Failure

ANSWERS = {
    "/": {},
    "/token": {"access_token": "t" * 185, "token_type": "bearer", "scope": "user:email"},
    "/user": {"login": "bench", "email": "bench@example.com"},
    "/user/orgs": [],
    "/user/teams": [],
    "/user/emails": [{"email": "bench@example.com", "primary": True, "verified": True}],
}


class Provider:
    """Runs on a thread of this process until it ends."""

    def __init__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def log_in(self, origin, number, certificate):
        """Cookies of so many sessions."""
        return [self._log_in(origin, certificate) for _ in range(number)]

    def _log_in(self, origin, certificate):
        answer = _get(origin, "/oauth2/start?rd=/", certificate)
        state = parse_qs(urlsplit(answer.headers["Location"]).query)["state"][0]
        cookies = _cookies(answer)
        callback = f"/oauth2/callback?code=1&state={state}"
        answer = _get(origin, callback, certificate, "; ".join(cookies))
        session = [one for one in _cookies(answer) if one.startswith("_oauth2_proxy=")]
        if not session:
            raise Failure(f"oauth2-proxy: no session but {answer.status}")
        return session[0]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = urlsplit(self.path).path
        body = json.dumps(ANSWERS.get(path, {})).encode()
        self.send_response(200 if path in ANSWERS else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *_):
        """Nothing."""


def _get(origin, target, certificate, cookies=""):
    place = urlsplit(origin)
    if place.scheme == "https":
        trust = ssl.create_default_context(cafile=certificate.path)
        connection = http.client.HTTPSConnection(place.netloc, timeout=20, context=trust)
    else:
        connection = http.client.HTTPConnection(place.netloc, timeout=20)
    connection.request("GET", target, headers={"Cookie": cookies} if cookies else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def _cookies(answer):
    return [line.split(";")[0] for line in answer.headers.get_all("Set-Cookie") or []]
