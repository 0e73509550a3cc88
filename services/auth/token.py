"""The admin token: given by a setting, or made once and kept in a file only we can read."""

import os
import secrets
from pathlib import Path

from restante.model import ErrorKind, MailError


def admin_token(given: str, path: Path) -> str:
    """Return the token; `given` wins, else the file's, which is made (0600) where it is absent.

    Raises MailError(CANNOT) where the file cannot be used.
    """
    if given:
        return given
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _create(path)
        except FileExistsError:
            token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MailError(ErrorKind.CANNOT, f"admin token {path}: {error}") from error
    if len(token) < 16:
        raise MailError(ErrorKind.CANNOT, f"admin token {path}: too short; remove the file")
    return token


def _create(path: Path) -> str:
    """Write a new token under another name, then link: nobody reads half of one."""
    token = secrets.token_urlsafe(32)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(token + "\n")
        os.link(draft, path)
    finally:
        os.unlink(draft)
    return token
