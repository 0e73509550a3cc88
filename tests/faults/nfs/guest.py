"""Two hosts and an NFS server in one small guest: a User Mode Linux kernel from Debian's packages.

The guest's root file system is this machine's, read-only, so that it runs the same Python and
the same project. Each host is a network namespace with its own mount of the export, without
shared caches: to NFS they are two machines. Needs the packages user-mode-linux,
nfs-kernel-server and iproute2, and root (the guest's root is this process's user).
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


@dataclass(frozen=True, slots=True)
class HostRun:
    """How the program of one host ended."""

    status: int
    output: str


def missing() -> str | None:
    """Return what this machine lacks, or None."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    tools = ("linux.uml", "rpc.nfsd", "rpc.mountd", "exportfs", "ip", "modprobe")
    absent = [tool for tool in tools if shutil.which(tool, path=path) is None]
    if absent:
        return f"real NFS in a guest needs {', '.join(absent)}"
    if os.geteuid() != 0:
        return "real NFS in a guest needs root"
    return None


def run_hosts(folder: Path, module: str, arguments: list[str], *, seconds: float) -> list[HostRun]:
    """Run `python -m module HOST arguments` on hosts a and b; the NFS mount is their cwd."""
    for host in "ab":
        words = [sys.executable, "-m", module, host, *arguments]
        script = folder / host
        script.write_text(f"#!/bin/bash\nexport PYTHONPATH={ROOT}\nexec {' '.join(words)}\n")
        script.chmod(0o755)
    kernel = [
        "linux.uml",
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        "mem=1500M",
        "quiet",
        f"init={HERE / 'guest_init.sh'}",
        f"RESTANTE_GUEST={folder}",
        "con=null",
        "con0=fd:0,fd:1",
    ]
    console = subprocess.run(
        kernel,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "TMPDIR": "/tmp"},
    ).stdout.decode(errors="replace")
    runs = []
    for host in "ab":
        status = folder / f"{host}.status"
        if not status.exists():
            raise RuntimeError(f"host {host} did not run to its end:\n{console[-4000:]}")
        output = (folder / f"{host}.out").read_text(errors="replace")
        runs.append(HostRun(int(status.read_text()), output))
    return runs
