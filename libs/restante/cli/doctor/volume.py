"""The mail volume: marked, writable, mounted as mail needs it, with room, on one clock with us."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from restante.cli.doctor.finding import Finding, fail, ok, warn
from restante.model import MailError
from restante.runtime.settings import ServiceSettings
from restante.store.volume import check_volume

_NFS: Final = ("nfs", "nfs4")
_FULL: Final = 0.02
_NEARLY: Final = 0.10
_SKEW_WARN: Final = 2.0  # seconds
_SKEW_FAIL: Final = 60.0


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo (proc(5)), as far as it matters."""

    point: str
    kind: str
    source: str
    options: tuple[str, ...]  # of the mount and of the file system

    def value(self, name: str) -> str | None:
        """Return "4.2" for "vers=4.2", "" for a bare word, None where it is not said."""
        for option in self.options:
            key, _, value = option.partition("=")
            if key == name:
                return value
        return None


def check(settings: Mapping[str, ServiceSettings]) -> Iterator[Finding]:
    """Look at the volume of each service; usually it is one."""
    roots = [root for one in settings.values() for root in (one.mail_root, *one.mail_volumes)]
    for root in dict.fromkeys(roots):
        yield from _volume(root)
    for data in dict.fromkeys(one.data for one in settings.values()):
        yield from _room(data, "data directory")
        yield from _local(data)


def _volume(root: Path) -> Iterator[Finding]:
    what = f"mail volume {root}"
    try:
        check_volume(root)
    except MailError as error:
        yield fail(what, error.text, f"mount it, or `restante volume init {root}` for a new one")
        return
    yield ok(what, "is there and marked")
    yield from _writable(root, what)
    mount = mount_of(root)
    if mount is not None:
        yield from nfs_findings(what, mount)
    yield from _room(root, "mail volume")


def _writable(root: Path, what: str) -> Iterator[Finding]:
    path = root / f".restante-doctor-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        before = time.time()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b"x")
            os.fsync(fd)
            stamp = os.fstat(fd).st_mtime
        finally:
            os.close(fd)
            path.unlink()
    except OSError as error:
        if error.errno in (13, 1) and os.geteuid() != 0:
            yield warn(what, "you may not write to it", "run this as the user of the services")
        else:
            yield fail(
                what, f"cannot be written: {error.strerror}", "mount it read-write, or free room"
            )
        return
    yield ok(what, "can be written")
    skew = stamp - before
    off = max(skew - (time.time() - before), -skew, 0.0)
    if off > _SKEW_FAIL:
        yield fail(what, f"its clock and ours differ by {off:.0f} s", "run NTP on both")
    elif off > _SKEW_WARN:
        yield warn(what, f"its clock and ours differ by {off:.1f} s", "run NTP on both")
    else:
        yield ok(what, "has our time")


def mount_of(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> Mount | None:
    """Return the mount that a path lies on."""
    real = os.path.realpath(path)
    best: Mount | None = None
    with contextlib.suppress(OSError):
        for line in mountinfo.read_text("utf-8", "surrogateescape").splitlines():
            mount = _parse(line)
            inside = mount.point == "/" or f"{real}/".startswith(f"{mount.point}/")
            if inside and (best is None or len(mount.point) >= len(best.point)):
                best = mount
    return best


def _parse(line: str) -> Mount:
    fields, _, rest = line.partition(" - ")
    words, more = fields.split(" "), rest.split(" ")
    point = words[4].encode("latin-1", "replace").decode("unicode_escape")  # "\040" is a space
    options = (*words[5].split(","), *(more[2].split(",") if len(more) > 2 else ()))
    return Mount(point, more[0], more[1], options)


def nfs_findings(what: str, mount: Mount) -> Iterator[Finding]:
    """Say what is wrong with the options of an NFS mount; nothing for other file systems."""
    if mount.kind not in _NFS:
        yield ok(what, f"lies on {mount.kind} at {mount.point}")
        return
    problems = 0
    if mount.value("soft") is not None or mount.value("softerr") is not None:
        problems += 1
        yield fail(what, "is mounted soft: a slow server loses mail", "mount it with hard")
    version = mount.value("vers") or mount.value("nfsvers") or "?"
    if version.startswith(("2", "3")):
        problems += 1
        yield fail(what, f"is NFS version {version}: its locks are slow or hang", "use vers=4.2")
    elif version != "4.2":
        problems += 1
        yield warn(what, f"is NFS version {version}", "4.2 is what was tested: vers=4.2")
    if mount.value("nolock") is not None or mount.value("local_lock") not in (None, "none"):
        problems += 1
        yield fail(what, "locks are not the server's", "mount without nolock and local_lock")
    if mount.value("lookupcache") not in ("pos", "positive", "none"):
        problems += 1
        text = "remembers for up to a minute that a file was not there"
        yield warn(what, text, "mount with lookupcache=positive")
    if not problems:
        yield ok(what, f"is NFS {version}, hard, with the server's locks")
    yield warn(
        what, "whether the server exports it sync cannot be seen here", "see exports(5): sync"
    )


def _room(path: Path, name: str) -> Iterator[Finding]:
    what = f"{name} {path}"
    try:
        found = os.statvfs(path)
    except OSError:
        return  # was told
    for text, free, total in (
        ("room", found.f_bavail, found.f_blocks),
        ("inodes", found.f_favail, found.f_files),
    ):
        if not total:  # file systems without a fixed number
            continue
        share = free / total
        said = (
            f"{share:.0%} of its {text} are free"
            if text == "inodes"
            else f"{share:.0%} {text} free"
        )
        if share < _FULL:
            yield fail(what, said, "free some, or enlarge it")
        elif share < _NEARLY:
            yield warn(what, said, "free some, or enlarge it, soon")
        else:
            yield ok(what, said)


def _local(data: Path) -> Iterator[Finding]:
    mount = mount_of(data)
    if mount is not None and mount.kind in (*_NFS, "cifs", "smb3", "9p", "fuse.sshfs"):
        text = f"lies on {mount.kind}: SQLite there loses data"
        yield fail(f"data directory {data}", text, "use a local disk, or PostgreSQL")
