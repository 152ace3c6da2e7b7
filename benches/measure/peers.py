"""The upstream, and the proxies that are compared: their settings, and how they start.

All forward over keep-alive connections, write an access log to a file, and use one core. The
others set one fixed `Authorization`; oauth2-proxy opens the session that each request brings in
its cookie, and this proxy finds it.
"""

import subprocess

from . import envoy
from .machine import ROOT
from .stage import LOAD_CORE, PROXY_CORE, accepts, free_port

# As long as the simulator's access tokens.
TOKEN = "t" * 185
MIB = 2**20
# What this proxy forwards without a session, by its defaults.
OPEN_PATH = "/api/system/status"
TLS_SETTINGS = ("server.tls_certificate_file", "server.tls_key_file")

NGINX = """
worker_processes 1; daemon off; {master} pid {folder}/{name}.pid; error_log stderr;
events {{ worker_connections 16384; }}
http {{
    access_log {access_log};
    keepalive_requests 1000000000; keepalive_timeout 3600s; tcp_nodelay on;
    client_max_body_size 0; client_body_buffer_size {body_buffer};
    client_body_temp_path {folder}/{name}; proxy_temp_path {folder}/{name};
    fastcgi_temp_path {folder}/{name}; uwsgi_temp_path {folder}/{name};
    scgi_temp_path {folder}/{name};
    {inside}
}}
"""

# /up takes a body to its end before it answers.
UPSTREAM = """
    sendfile on; default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port} backlog=4096; root {folder}/files;
        location / {{ default_type text/plain; return 200 "{body}"; }}
        location /files/ {{ alias {folder}/files/; }}
        location = /up {{
            proxy_pass http://127.0.0.1:{sink}; proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
    }}
    server {{ listen 127.0.0.1:{sink}; location / {{ return 204; }} }}
"""

FORWARDING = """
    upstream codescan {{
        server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} {tls} backlog=4096; {more}
        location / {{
            proxy_pass http://codescan; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $http_host;
            proxy_set_header Authorization "Bearer {token}";
        }}
    }}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 4096
    tune.ssl.default-dh-param 2048
defaults
    mode http
    log stdout format raw local0
    option httplog
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 75s
    timeout server 300s
    timeout http-keep-alive 3600s
frontend public
    bind 127.0.0.1:{port} {tls} backlog 4096
    http-request set-header Authorization "Bearer {token}"
    default_backend codescan
backend codescan
    server one 127.0.0.1:{upstream}
"""

OURS = """
[server]
listen = "127.0.0.1:{port}"
public_url = "{origin}"
workers = 1
max_connections = 16000
max_header_size = "32KiB"
drain_delay = "0s"
drain_timeout = "3s"
{tls}
[admin]
listen = "127.0.0.1:{admin}"
[bitbucket]
url = "{url}"
client_id = "{client_id}"
client_secret = "{client_secret}"
[codescan]
url = "http://127.0.0.1:{upstream}"
[session]
capacity = {capacity}
per_person = 1000000
{store}
[log]
format = "json"
"""


class Upstream:
    """An nginx on the load's core: 1 KiB to everything, files, and a place to send to."""

    def __init__(self, stage, tools):
        self.port = free_port()
        (stage.folder / "files").mkdir()
        for name, size in {"64KiB": 64 * 1024, "10MiB": 10 * MIB, "50MiB": 50 * MIB}.items():
            stage.fill(f"files/{name}", size)
        inside = UPSTREAM.format(
            port=self.port, sink=free_port(), folder=stage.folder, body="x" * 1024
        )
        conf = stage.write("upstream.conf", NGINX.format(
            folder=stage.folder, name="upstream", access_log="off", body_buffer="16m",
            inside=inside, master="",
        ))
        # Others than root may have to read what root has written.
        stage.folder.chmod(0o755)
        command = [tools.path("nginx"), "-p", stage.folder, "-c", conf]
        process = stage.start(LOAD_CORE, *command)
        stage.wait_for(process, "the upstream", lambda: accepts(self.port))


class Certificate:
    """ECDSA P-256, self-signed, for 127.0.0.1: the same for all."""

    def __init__(self, stage, tools):
        self.path, self.key = stage.folder / "tls.crt", stage.folder / "tls.key"
        self.both = stage.folder / "tls.pem"
        command = [
            tools.path("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE",
            "-keyout", self.key, "-out", self.path,
        ]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        self.both.write_text(self.path.read_text() + self.key.read_text())


class Peer:
    """A proxy that is measured. `secure`: TLS 1.3, HTTP/2 by ALPN."""

    name = None

    def __init__(self, scene, secure=False):
        self.scene, self.secure = scene, secure
        self.port = free_port()
        self.id = f"{self.name}-{self.port}"
        self.process = None
        # Those without sessions of their own get what this proxy's requests carry.
        self.cookies = scene.some_cookies

    @property
    def origin(self):
        """Where it is reached."""
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        """Writes the settings; the words to start it with."""
        raise NotImplementedError

    def spawn(self, before=()):
        """Starts it, behind the words of `before` where there are any, and does not wait."""
        self.process = self.scene.stage.start(PROXY_CORE, *before, *self.command())
        return self.process

    def start(self, before=(), seconds=30):
        """Starts it, and waits until it listens."""
        self.spawn(before)
        self.scene.stage.wait_for(
            self.process, self.name, lambda: accepts(self.port), seconds
        )
        return self

    def end(self):
        self.scene.stage.end(self.process)

    def write(self, suffix, text):
        return self.scene.stage.write(f"{self.id}{suffix}", text)


class Nginx(Peer):
    """Plain proxying, as it is by default but for keep-alive towards the upstream."""

    name = "nginx"
    master = more = ""

    def command(self):
        certificate = self.scene.certificate
        inside = FORWARDING.format(
            upstream=self.scene.upstream.port, port=self.port, token=TOKEN,
            tls="ssl http2" if self.secure else "",
            more=self.more + (
                f"ssl_certificate {certificate.path}; ssl_certificate_key {certificate.key};"
                "ssl_protocols TLSv1.3;" if self.secure else ""
            ),
        )
        folder = self.scene.stage.folder
        conf = self.write(".conf", NGINX.format(
            folder=folder, name=self.id, body_buffer="16k", inside=inside, master=self.master,
            access_log=f"{folder}/{self.id}.access combined buffer=16k flush=1s",
        ))
        return [self.scene.tools.path("nginx"), "-p", folder, "-c", conf]


class StreamingNginx(Nginx):
    """nginx that passes bodies on as they come, instead of gathering them first."""

    name = "nginx-unbuffered"
    more = "proxy_buffering off; proxy_request_buffering off; "


class OneProcessNginx(Nginx):
    """nginx whose worker is the process itself, for tools that watch one process."""

    master = "master_process off;"


class Haproxy(Peer):
    """Its log can only go line by line."""

    name = "haproxy"

    def command(self):
        tls = f"ssl crt {self.scene.certificate.both} alpn h2,http/1.1 ssl-min-ver TLSv1.3"
        conf = self.write(".cfg", HAPROXY.format(
            upstream=self.scene.upstream.port, port=self.port, token=TOKEN,
            tls=tls if self.secure else "",
        ))
        return [self.scene.tools.path("haproxy"), "-f", conf]


class Envoy(Peer):
    """Plain proxying, without its OAuth 2.0 filter."""

    name = "envoy"

    def command(self):
        scene = self.scene
        conf = self.write(".json", envoy.settings(
            self.port, scene.upstream.port, TOKEN, scene.stage.folder / f"{self.id}.access",
            scene.certificate if self.secure else None,
        ))
        return [
            self.scene.tools.path("envoy"), "-c", conf, "--concurrency", "1", "--log-level",
            "error", "--disable-hot-restart",
        ]


class OAuth2Proxy(Peer):
    """With sessions in cookies, made by logins at a stand-in for GitHub."""

    name = "oauth2-proxy"
    sessions = 200

    def command(self):
        origin, provider = self.origin, self.scene.provider.origin
        listen = f"127.0.0.1:{self.port}"
        certificate = self.scene.certificate
        address = [
            "--http-address=", f"--https-address={listen}",
            f"--tls-cert-file={certificate.path}", f"--tls-key-file={certificate.key}",
        ] if self.secure else [f"--http-address={listen}"]
        return [
            self.scene.tools.path("oauth2-proxy"), *address, "--provider=github",
            f"--upstream=http://127.0.0.1:{self.scene.upstream.port}",
            f"--login-url={provider}/authorize", f"--redeem-url={provider}/token",
            f"--validate-url={provider}/", f"--redirect-url={origin}/oauth2/callback",
            "--client-id=bench", "--client-secret=bench", "--email-domain=*",
            "--cookie-secret=0123456789abcdef0123456789abcdef", "--cookie-secure=false",
            "--pass-access-token=true", "--skip-provider-button=true",
            f"--skip-auth-route=^{OPEN_PATH}$",
        ]

    def start(self, before=(), seconds=30):
        super().start(before, seconds)
        made = self.scene.provider.log_in(self.origin, self.sessions, self.scene.certificate)
        self.cookies = self.write(".cookies", "\n".join(made) + "\n")
        return self


class Ours(Peer):
    """This proxy, holding sessions made through the front door."""

    name = "ours"
    capacity = 2_000_000
    # Lines of [session].
    store = ""

    def __init__(self, scene, secure=False, sessions=None):
        super().__init__(scene, secure)
        self.admin = free_port()
        self.sessions = scene.options.sessions if sessions is None else sessions

    def command(self):
        tls, certificate = "", self.scene.certificate
        if self.secure:
            tls = "".join(
                f'{key.partition(".")[2]} = "{path}"\n'
                for key, path in zip(TLS_SETTINGS, (certificate.path, certificate.key))
            )
        settings = self.write(".toml", OURS.format(
            upstream=self.scene.upstream.port, port=self.port, admin=self.admin,
            origin=self.origin, tls=tls, capacity=self.capacity, store=self.store,
            **self.scene.logins.bitbucket,
        ))
        return [self.scene.proxy, "--config", settings]

    def start(self, before=(), seconds=30):
        super().start(before, seconds)
        if self.sessions:
            self.cookies = self.scene.stage.folder / f"{self.id}.cookies"
            self.scene.logins.make(self.origin, self.sessions, self.cookies)
        return self


CLASSES = {peer.name: peer for peer in (Nginx, Haproxy, Envoy, OAuth2Proxy, Ours)}


def has_tls(proxy):
    """Whether this build of the proxy knows TLS on its public listener."""
    command = [proxy, "check"]
    for key in TLS_SETTINGS:
        command += ["--set", f"{key}=/nowhere"]
    said = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    return "is not a setting" not in said.stderr
