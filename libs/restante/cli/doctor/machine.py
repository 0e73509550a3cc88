"""Limits of the machine: open files, inotify watches; and its clock."""

import contextlib
import ctypes
import ctypes.util
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from restante.cli.doctor.finding import Finding, ok, warn
from restante.runtime.settings import ServiceSettings

_SPARE: Final = 1000  # files of a worker beside its connections: folders, logs, calls
_WATCHES: Final = 100_000
_INSTANCES: Final = 128
_INOTIFY: Final = Path("/proc/sys/fs/inotify")
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised


def check(settings: Mapping[str, ServiceSettings]) -> Iterator[Finding]:
    """Look at what this process, and so the services started beside it, may use."""
    yield _files(settings)
    if any(one.hints == "inotify" for one in settings.values()):
        yield _inotify("max_user_watches", _WATCHES)
        yield _inotify("max_user_instances", _INSTANCES)
    yield _clock()


def _files(settings: Mapping[str, ServiceSettings]) -> Finding:
    # Services raise the soft limit to the hard one themselves.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    name, most = max(
        ((name, one.max_connections) for name, one in settings.items()), key=lambda pair: pair[1]
    )
    wanted = most + _SPARE
    if hard >= 0 and hard < wanted:  # -1 is unlimited
        text = f"{hard} a process; {name} may have {most} connections"
        advice = (
            f"LimitNOFILE={wanted} (systemd), --ulimit nofile={wanted} (docker), "
            f"or RESTANTE_{name.upper()}_MAX_CONNECTIONS={max(1, hard - _SPARE)}"
        )
        return warn("open files", text, advice)
    return ok("open files", "unlimited" if hard < 0 else f"{hard} a process")


def _inotify(name: str, wanted: int) -> Finding:
    what = f"fs.inotify.{name}"
    found = -1
    with contextlib.suppress(OSError, ValueError):
        found = int((_INOTIFY / name).read_text())
    if found < 0:
        return warn(what, "cannot be read", "RESTANTE_HINTS=redis://... does without inotify")
    if found < wanted:
        advice = f"sysctl {what}={wanted}, or RESTANTE_HINTS=redis://...: new mail shows late else"
        return warn(what, f"{found}, few for many clients that IDLE", advice)
    return ok(what, str(found))


def _clock() -> Finding:
    library = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)
    state = library.adjtimex(ctypes.create_string_buffer(512))  # zeroed: changes nothing
    if state == _TIME_ERROR:
        advice = "run chrony or systemd-timesyncd: one-time codes and tokens need the right time"
        return warn("clock", "is not synchronised", advice)
    if state < 0:
        return warn("clock", "cannot be asked", "see that the host runs NTP")
    return ok("clock", "is synchronised")
