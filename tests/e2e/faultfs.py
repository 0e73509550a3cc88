"""A file system that passes everything through and fails on demand, as a network volume may.

    python -m tests.e2e.faultfs SOURCE MOUNTPOINT

Commands come on stdin as JSON lines, {"errno": 5, "operations": ["write"], "rate": 0.3};
{} ends all faults, and the end of stdin unmounts, so that nothing stays mounted when a test run is
killed. "mounted" on stdout says that it is ready. `delay` in seconds comes before the operation,
`rate` is the share of operations that are hit, `operations` are named as in GROUPS or one by one.

Like an NFS client, libfuse keeps a removed file that is open under a hidden name, and the kernel
remembers attributes for a second. Needs root: files belong to whoever makes them, and containers
of another user get in (allow_other).
"""

import json
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import mfusepy

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "write": ("create", "write", "truncate", "mkdir", "link", "rename"),
    "sync": ("fsync", "fsyncdir"),
    "read": ("open", "read", "readdir", "getattr"),
}
_STAT: Final = ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")
_SAME: Final = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino", "st_blocks")


class Faults:
    """What is to fail now; the thread of stdin replaces it as a whole."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        names = order.get("operations", ())
        self.operations = frozenset(op for name in names for op in GROUPS.get(name, (name,)))
        self.errno = int(order.get("errno", 0))
        self.rate = float(order.get("rate", 1.0))
        self.delay = float(order.get("delay", 0.0))


class Passthrough(mfusepy.Operations):  # type: ignore[misc]  # mfusepy ships no types
    """The operations; paths are absolute below the mount point."""

    use_ns = True

    def __init__(self, source: Path) -> None:
        self.source = str(source)
        self.faults = Faults({})

    def _real(self, path: str, operation: str = "") -> str:
        """Return the path in the source; fails where `operation` is to fail now."""
        self._meet(operation)
        return self.source + path

    def _meet(self, operation: str) -> None:
        faults = self.faults
        if operation in faults.operations and random.random() < faults.rate:
            if faults.delay:
                time.sleep(faults.delay)
            if faults.errno:
                raise OSError(faults.errno, os.strerror(faults.errno))

    def _own(self, path: str) -> None:
        uid, gid, _ = mfusepy.fuse_get_context()
        os.lchown(path, uid, gid)

    def init(self, path: str) -> None:
        """Say that it is mounted."""
        print("mounted", flush=True)

    # --- names ------------------------------------------------------------------------------

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        real = self._real(path, "getattr")
        found = os.fstat(fh) if fh is not None else os.lstat(real)
        times = {name.removesuffix("_ns"): getattr(found, name) for name in _STAT}
        return {**{name: getattr(found, name) for name in _SAME}, **times}

    def readdir(self, path: str, fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
        real = self._real(path, "readdir")
        # An entry with the inode 0 would be skipped as removed.
        yield ".", {"st_mode": stat.S_IFDIR, "st_ino": os.lstat(real).st_ino}, 0
        yield "..", {"st_mode": stat.S_IFDIR, "st_ino": 1}, 0
        with os.scandir(real) as entries:
            for entry in entries:
                kind = stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else stat.S_IFREG
                yield entry.name, {"st_mode": kind, "st_ino": entry.inode()}, 0

    def mkdir(self, path: str, mode: int) -> int:
        real = self._real(path, "mkdir")
        os.mkdir(real, mode)
        self._own(real)
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._real(path, "rmdir"))
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._real(path, "unlink"))
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self._real(old, "rename"), self._real(new))
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self._real(source, "link"), self._real(target))
        return 0

    def symlink(self, target: str, source: str) -> int:
        real = self._real(target, "symlink")
        os.symlink(source, real)
        self._own(real)
        return 0

    def readlink(self, path: str) -> str:
        return os.readlink(self._real(path, "readlink"))

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._real(path, "chmod"), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        real = self._real(path, "chown")
        os.lchown(real, *(-1 if one == 0xFFFFFFFF else one for one in (uid, gid)))
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        now = time.time_ns()
        os.utime(self._real(path, "utimens"), ns=times or (now, now), follow_symlinks=False)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._real(path, "statfs"))
        names = ("bavail", "bfree", "blocks", "bsize", "favail", "ffree", "files", "frsize")
        return {f"f_{name}": getattr(found, f"f_{name}") for name in (*names, "namemax")}

    # --- files ------------------------------------------------------------------------------

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        real = self._real(path, "create")
        fd = os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        self._own(real)
        return fd

    def open(self, path: str, flags: int) -> int:
        # The kernel says where each write goes; with O_APPEND it would not be believed.
        return os.open(self._real(path, "open"), flags & ~os.O_APPEND | os.O_CLOEXEC)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._meet("read")
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._meet("write")
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._real(path, "truncate") if fh is None else fh, length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._meet("fsync")
        os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        fd = os.open(self._real(path, "fsyncdir"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0


def main(source: Path, mountpoint: Path) -> None:
    """Serve until stdin ends."""
    operations = Passthrough(source)

    def obey() -> None:
        for line in sys.stdin:
            operations.faults = Faults(json.loads(line))
        subprocess.run(["umount", "-l", mountpoint], check=False)

    threading.Thread(target=obey, daemon=True).start()
    os.umask(0)
    mfusepy.FUSE(
        operations,
        str(mountpoint),
        foreground=True,
        allow_other=True,
        default_permissions=True,
        use_ino=True,
        fsname="restante-e2e",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
