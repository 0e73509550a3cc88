"""The sentinel of the mail volume (rule 9): an unmounted mount point must never take mail.

`restante volume init` creates it once, on the mounted volume. Services check it before they start,
and a new Maildir is only made where it is seen.
"""

import os
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
