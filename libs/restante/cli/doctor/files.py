"""The data directory: there, private, and no secret in it for others to read."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from restante.cli.doctor.finding import Finding, fail, ok, warn
from restante.runtime.settings import ServiceSettings

_SECRETS = ("admin.token", "delivery.token")


def check(settings: Mapping[str, ServiceSettings]) -> Iterator[Finding]:
    """Look at the data directory of the services; usually it is one."""
    for data in dict.fromkeys(one.data for one in settings.values()):
        yield from _directory(data)
        yield from _secrets(data / "run")


def _directory(path: Path) -> Iterator[Finding]:
    what = f"data directory {path}"
    try:
        info = path.stat()
    except OSError as error:
        advice = "it is made when a service starts; is RESTANTE_DATA right?"
        yield fail(what, error.strerror or "cannot be read", advice)
        return
    if not stat.S_ISDIR(info.st_mode):
        yield fail(what, "is not a directory", "remove the file, or set RESTANTE_DATA")
    elif info.st_mode & 0o077:
        mode = stat.S_IMODE(info.st_mode)
        yield fail(what, f"others may enter it (mode {mode:04o})", f"chmod 700 {path}")
    elif info.st_uid != os.geteuid() and os.geteuid() != 0:
        yield warn(what, f"belongs to uid {info.st_uid}, not to you", "run this as that user")
    else:
        yield ok(what, "is private")


def _secrets(run_dir: Path) -> Iterator[Finding]:
    for name in _SECRETS:
        path = run_dir / name
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue  # of a service that has not run here
        if mode & 0o077:
            yield fail(str(path), f"others may read it (mode {mode:04o})", f"chmod 600 {path}")
        else:
            yield ok(str(path), "is private")
