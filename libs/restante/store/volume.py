"""Mail volumes and their sentinel (rule 9): an unmounted mount point must never take mail.

`restante volume init` creates it once, on the mounted volume. Services check it before they start,
and a new Maildir is only made where it is seen.

There may be more volumes than the one at the mail root; an account's home says on which its mail
lies. Each has a sentinel of its own: where one is not mounted, its accounts have a temporary
failure, and all others are served.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError

SENTINEL: Final = ".restante-volume"


def check_volume(mail_root: Path) -> None:
    """Pass where the mail volume is there. MailError(TEMPORARY) with a text for the operator."""
    try:
        os.stat(mail_root / SENTINEL)
    except OSError as error:
        raise MailError(
            ErrorKind.TEMPORARY,
            f"no {SENTINEL} in {mail_root} ({error.strerror}): "
            "is the mail volume mounted? A new volume is made by `restante volume init`",
        ) from error


@dataclass(frozen=True, slots=True)
class Volumes:
    """The mail root and the further volumes, which may be mounted below it or elsewhere."""

    root: Path
    others: tuple[Path, ...] = ()

    def of(self, path: Path) -> Path:
        """Return the volume that a path should lie on: the deepest above it, else the root."""
        above = set(path.parents) | {path}
        found = [volume for volume in self.others if volume in above]
        return max(found, key=lambda volume: len(volume.parts), default=self.root)

    def check(self) -> None:
        """Pass where all are there. MailError(TEMPORARY) names the first that is not."""
        for volume in (self.root, *self.others):
            check_volume(volume)


class VolumeCheck:
    """Says again and again whether a volume is there, also where the server hangs.

    A hanging stat() cannot be ended; it occupies a thread of its own, and the next question joins
    it. The thread is no pool's and ends with the process.
    """

    def __init__(self, volumes: Sequence[Path]) -> None:
        self._volumes = volumes
        self._asking: asyncio.Future[MailError | None] | None = None

    async def __call__(self) -> None:
        """Pass where all are there. MailError(TEMPORARY). May never return: bound it."""
        if self._asking is None:
            loop = asyncio.get_running_loop()
            asking = self._asking = loop.create_future()
            threading.Thread(
                target=self._look, args=(loop, asking), name="volume check", daemon=True
            ).start()
        error = await asyncio.shield(self._asking)
        if error is not None:
            raise error

    def _look(
        self, loop: asyncio.AbstractEventLoop, asking: "asyncio.Future[MailError | None]"
    ) -> None:
        found: MailError | None = None
        try:
            for volume in self._volumes:
                check_volume(volume)
        except MailError as error:
            found = error

        def tell() -> None:
            self._asking = None
            if not asking.done():
                asking.set_result(found)

        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:
            return  # the loop is closed: nobody asks any more


def create_volume(mail_root: Path) -> None:
    """Make `mail_root` a mail volume; harmless where it is one. Raises OSError."""
    if not mail_root.is_dir():
        mail_root.mkdir(parents=True, exist_ok=True)
        mail_root.chmod(0o711)  # whatever the umask: owners of mail pass through
    fd = os.open(mail_root / SENTINEL, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    for directory in (mail_root, mail_root.parent):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
