"""Who holds an intent or a lease, and whether that process still lives."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import subprocess
import uuid
from pathlib import Path


def new_owner() -> str:
    """Name of one owner in this process: "HOST:PID:START:RANDOM".

    HOST holds the machine's boot and process namespace beside its name, so that a PID is only ever looked up where it
    means something. START is when the process began, so that a reused PID is not taken for the old process.
    """
    return f"{_host()}:{os.getpid()}:{_started(os.getpid())}:{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """Whether the owner's process is known to have ended: only answerable on the owner's own host, else False."""
    host, _, rest = owner.partition(":")
    pid, _, rest = rest.partition(":")
    start = rest.partition(":")[0]
    return host == _host() and pid.isdecimal() and _started(int(pid)) != start


def _host() -> str:
    # Without a boot id (macOS) the network card's address tells apart two machines that carry one name.
    here = [_read("/proc/sys/kernel/random/boot_id") or str(uuid.getnode()), _link("/proc/self/ns/pid")]
    return f"{socket.gethostname().replace(':', '-')}~{hashlib.sha256(repr(here).encode()).hexdigest()[:8]}"


def _started(pid: int) -> str:
    """When the process began, in the system's own words without colons; "" where there is no such process."""
    stat = _read(f"/proc/{pid}/stat")
    if stat:
        # The command's name may hold spaces and brackets: the fields are counted from its last bracket on.
        fields = stat.rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]  # 22nd field of proc(5): clock ticks after boot
    if Path("/proc/self/stat").exists():
        return ""
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "-".join(answer.stdout.replace(":", ".").split())


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
