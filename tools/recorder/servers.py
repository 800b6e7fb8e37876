"""The real servers: nginx, OpenSSH and dnsmasq on both server addresses, with the backend behind nginx."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.recorder.network import inside, run
from tools.recorder.plan import BACKEND_PORT, LATE_ZONE, NAMES_PORT, SERVER_SPACE, SERVERS, SERVERS6

NGINX = """
daemon off;
user nobody nogroup;
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ text/html html; image/png png; application/octet-stream bin; }}
    keepalive_timeout 65;
    server {{
        {listen}
        root {folder}/pages;
        location /drip/ {{ limit_rate 1k; }}
        location ~ ^/(slow|stream|form) {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""

SSHD = """
ListenAddress 0.0.0.0
ListenAddress ::
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
PrintMotd no
MaxStartups 200
MaxAuthTries 6
"""

PAGE = "<p>Middleboxes keep state; this page is state that a server keeps. Line {number} of page {page}.</p>\n"


def writePages(folder: Path) -> None:
    """Pages small and large; C{drip/} holds what nginx sends slowly."""
    source = random.Random(7)
    for page in range(24):
        lines = (PAGE.format(number=number, page=page) for number in range(1 + page // 8))
        (folder / f"page{page}.html").write_text("".join(lines), encoding="ascii")
    for number in range(6):
        (folder / f"image{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + source.randbytes(200 + 150 * number))
    (folder / "big.bin").write_bytes(source.randbytes(48_000))
    (folder / "drip").mkdir()
    for number in range(4):
        (folder / "drip" / f"file{number}.bin").write_bytes(source.randbytes(12_000 + 3_000 * number))


def writeConfigurations(folder: Path) -> None:
    """Everything the servers read."""
    (folder / "pages").mkdir()
    writePages(folder / "pages")
    addresses = [*SERVERS, *(f"[{address}]" for address in SERVERS6)]
    listen = " ".join(f"listen {address}:{port};" for address in addresses for port in (80, 8080))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, listen=listen, backend=BACKEND_PORT))
    (folder / "sshd.conf").write_text(SSHD.format(folder=folder))
    for name in ("host_key", "good_key", "wrong_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(folder / name))
    (folder / "authorized_keys").write_text((folder / "good_key.pub").read_text())
    askpass = folder / "askpass"
    askpass.write_text("#!/bin/sh\necho not-the-password\n")
    askpass.chmod(0o755)


def commands(folder: Path) -> Iterator[list[str]]:
    """How each server is started."""
    hosts = [f"--host-record=host{number}.example.test,10.9.8.{number},fd09::8:{number}" for number in range(1, 100)]
    texts = [f"--txt-record=text{number}.example.test,{'x' * 200},{'y' * 200}" for number in range(1, 10)]
    listen = [f"--listen-address={address}" for address in (*SERVERS, *SERVERS6)]
    yield ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    yield ["/usr/sbin/sshd", "-D", "-f", str(folder / "sshd.conf")]
    yield [
        *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--bind-interfaces", "--no-resolv", "--no-hosts"),
        *("--local=/example.test/", f"--pid-file={folder}/dnsmasq.pid", "--user=root", *listen, *hosts, *texts),
        f"--server=/{LATE_ZONE}/127.0.0.1#{NAMES_PORT}",
    ]
    yield [sys.executable, "-m", "tools.recorder.backend"]


@contextmanager
def runningServers(folder: Path) -> Iterator[None]:
    """The servers, for as long as the context lasts; that one of them ends early is an error."""
    writeConfigurations(folder)
    Path("/run/sshd").mkdir(exist_ok=True)
    servers: list[subprocess.Popen[bytes]] = []
    try:
        servers.extend(subprocess.Popen(inside(SERVER_SPACE, *command)) for command in commands(folder))
        yield
        if any(server.poll() is not None for server in servers):
            raise RuntimeError("a server ended during the recording")
    finally:
        for server in servers:
            server.terminate()
            server.wait()
