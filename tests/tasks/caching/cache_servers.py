"""Real caches of Debian (nginx, Varnish, Squid, Redis), and an origin that counts and misbehaves as it is told."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_connection, socket
from typing import Any

CONFIG = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log warn; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=edge:10m max_size={max_size} inactive=1d use_temp_path=off;
  map $http_cache_control $upstream {{ default 127.0.0.1:{origin}; only-if-cached 127.0.0.1:{port}; }}
  map $http_cache_control $upstream_path {{ default $request_uri; only-if-cached /.not-cached; }}
  server {{
    listen 127.0.0.1:{port};
    location = /.not-cached {{ return 504; }}
    location / {{
      proxy_pass http://$upstream$upstream_path; proxy_cache edge; proxy_cache_key $request_uri;
      proxy_cache_valid 200 1d;
      proxy_cache_lock on; proxy_ignore_client_abort on;
      proxy_read_timeout 60s; add_header X-Cache-Status $upstream_cache_status always;
    }}
  }}
}}
"""


def free_port() -> int:
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Origin:
    """Serves any path, counts requests by path and the most at once; `answer` may change what a path gets."""

    def __init__(self, size: int = 2048, delay_s: float = 0.002) -> None:
        self.size, self.delay_s = size, delay_s
        self.requests: Counter[str] = Counter()
        self.most_in_flight = self.in_flight = 0
        self.headers: dict[str, dict[str, str]] = {}  # by path
        self.answer: Any = lambda path, number: 200
        self._lock = threading.Lock()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                origin.serve(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.requests[handler.path] += 1
            number = self.requests.total()
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            time.sleep(self.delay_s)
            status = self.answer(handler.path, number)
        finally:
            with self._lock:
                self.in_flight -= 1
        handler.send_response(status)
        for name, value in self.headers.get(handler.path, {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(self.size))
        handler.end_headers()
        handler.wfile.write(b"x" * self.size)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Nginx:
    """Debian's nginx, caching that origin."""

    def __init__(self, folder: Path, origin: Origin, max_size: str = "1g", *, probes: bool = True) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        user = "user root;" if os.geteuid() == 0 else ""
        for name in ("body", "temp", "f", "u", "s"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        config = CONFIG if probes else CONFIG.replace("only-if-cached ", "never ")
        (folder / "nginx.conf").write_text(
            config.format(folder=folder, port=self.port, origin=origin.port, max_size=max_size, user=user))  # fmt: skip
        command = [
            found() or "nginx",
            "-c",
            str(folder / "nginx.conf"),
            "-p",
            str(folder),
            "-e",
            str(folder / "error.log"),
        ]
        self._process = subprocess.Popen(command)
        for _ in range(200):
            try:
                with closing(create_connection(("127.0.0.1", self.port), 0.2)):
                    return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError((folder / "error.log").read_text())

    def purge(self, paths: list[str]) -> None:
        """Take objects out, as the open-source nginx allows: by removing their files."""
        for path in paths:
            name = hashlib.md5(path.encode()).hexdigest()
            (self.folder / "cache" / name[-1] / name[-3:-1] / name).unlink()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def found(program: str = "nginx") -> str | None:
    """Where it is: not every PATH has /usr/sbin."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


VCL = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin}"; }}
acl warmers {{ "127.0.0.1"; }}
sub vcl_recv {{
  if (req.method == "PURGE") {{
    if (client.ip !~ warmers) {{ return (synth(405)); }}
    return (purge);
  }}
}}
sub vcl_miss {{ if (req.http.Cache-Control ~ "only-if-cached") {{ return (synth(504)); }} }}
sub vcl_pass {{ if (req.http.Cache-Control ~ "only-if-cached") {{ return (synth(504)); }} }}
"""

SQUID = """
http_port 127.0.0.1:{port} accel defaultsite=films.example no-vhost
cache_peer 127.0.0.1 parent {origin} 0 no-query originserver
acl purges method PURGE
http_access allow localhost purges
http_access allow localhost
cache_mem {megabytes} MB
refresh_pattern . 1440 100% 1440
visible_hostname edge
pid_filename none
access_log none
cache_log {folder}/cache.log
coredump_dir {folder}
pinger_enable off
shutdown_lifetime 0 seconds
"""


class Daemon:
    """A server of Debian's on a free port, up when made; its folder may be read and written by its own user."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with closing(create_connection(("127.0.0.1", port), 0.2)):
                    return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(log.read_text())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(40)


def varnish(folder: Path, origin: Origin, megabytes: int = 64) -> Daemon:
    """Debian's Varnish in front of that origin, with the VCL of tasks/caching/README.md."""
    folder.mkdir(parents=True)
    (folder / "edge.vcl").write_text(VCL.format(origin=origin.port))
    port = free_port()
    words = f"-F -j none -n {folder}/n -a 127.0.0.1:{port} -f {folder}/edge.vcl -s malloc,{megabytes}m -t 86400"
    return Daemon([found("varnishd") or "", *words.split()], port, folder / "log")


def squid(folder: Path, origin: Origin, megabytes: int = 64) -> Daemon:
    """Debian's Squid as an accelerator in front of that origin."""
    folder.mkdir(parents=True)
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o777)  # it gives up root for a user of its own
    port = free_port()
    config = SQUID.format(port=port, origin=origin.port, folder=folder, megabytes=megabytes)
    (folder / "squid.conf").write_text(config)
    return Daemon([found("squid") or "", "-N", "-f", str(folder / "squid.conf")], port, folder / "log")


def redis(folder: Path, most_bytes: int = 0) -> Daemon:
    """Debian's Redis, with a password; full above `most_bytes`, if given."""
    folder.mkdir(parents=True)
    port = free_port()
    words = f"--port {port} --bind 127.0.0.1 --dir {folder} --requirepass secret --maxmemory {most_bytes}"
    command = [found("redis-server") or "", "--save", "", *words.split()]
    return Daemon(command, port, folder / "log")
