"""Removing the mail of an account that is gone: only below the mail root, never through links.

The home is first renamed aside in its own directory, so that nobody sees half a mailbox, then
removed with descriptors (shutil.rmtree does not follow symlinks). Blocking.
"""

import os
import secrets
import shutil
from pathlib import Path

from restante.model import ErrorKind, MailError


def check_purgeable(home: Path, mail_root: Path) -> None:
    """Raise MailError(CANNOT) unless `home` is a directory three levels or more below the root."""
    root = Path(os.path.realpath(mail_root))
    parent = Path(os.path.realpath(home.parent))
    inside = parent.is_relative_to(root) and len(parent.relative_to(root).parts) >= 2
    if not inside or home.name in ("", ".", "..") or home.is_symlink():
        raise MailError(ErrorKind.CANNOT, "this home is not below the mail root")


def purge(home: Path, mail_root: Path) -> bool:
    """Remove a home; False where there was none. Raises MailError(CANNOT | TEMPORARY)."""
    check_purgeable(home, mail_root)
    aside = home.with_name(f".removed.{secrets.token_hex(8)}")
    try:
        os.rename(home, aside)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise MailError(ErrorKind.TEMPORARY, f"cannot remove mail: {error.strerror}") from error
    try:
        shutil.rmtree(aside)
    except OSError as error:
        text = f"mail was set aside but not all removed: {error.strerror}"
        raise MailError(ErrorKind.TEMPORARY, text) from error
    return True
