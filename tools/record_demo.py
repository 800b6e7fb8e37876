"""
Records the capture of the demonstration with real programs between two network namespaces.

Run as root: C{python3 tools/record_demo.py [OUTPUT]}.  See recorder/README.md for what it needs.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from tools.recorder.network import inside, privateNetwork  # noqa: E402 (needs the path)
from tools.recorder.plan import CLIENT_SPACE, SERVER_DEVICE, SERVER_SPACE  # noqa: E402
from tools.recorder.servers import runningServers  # noqa: E402

PROGRAMS = ("ip", "ethtool", "tcpdump", "nginx", "/usr/sbin/sshd", "ssh", "dnsmasq", "dig", "curl", "ping", "sysctl")


@contextmanager
def recording(output: Path) -> Iterator[None]:
    """tcpdump on the servers' end; packets that it dropped are an error."""
    options = ("-n", "-s", "0", "-B", "65536", "-Z", "root", "-i", SERVER_DEVICE, "-w", str(output))
    recorder = subprocess.Popen(inside(SERVER_SPACE, "tcpdump", *options), stderr=subprocess.PIPE, text=True)
    time.sleep(1.0)  # until it listens
    try:
        yield
        time.sleep(1.0)  # the last closing segments
    finally:
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate()
        print(said.strip())
    if "\n0 packets dropped by kernel" not in said:
        raise RuntimeError("tcpdump dropped packets")


def record(output: Path) -> int:
    """Record into C{output}."""
    with tempfile.TemporaryDirectory(prefix="openmb-demo-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with privateNetwork(), runningServers(folder):
            time.sleep(2.0)  # until the servers listen
            with recording(output):
                clients = [sys.executable, "-m", "tools.recorder.clients", name]
                return subprocess.run(inside(CLIENT_SPACE, *clients), cwd=TOP, check=False).returncode


def main() -> int:
    """Check for the programs, and record."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        print(f"record_demo: not installed: {', '.join(missing)}", file=sys.stderr)
        return 3
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else TOP / "openmb" / "demo" / "traces" / "demo.pcap"
    return record(output)


if __name__ == "__main__":
    sys.exit(main())
