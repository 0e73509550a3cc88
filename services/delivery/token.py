"""The bearer token of the HTTP hook, made once where the settings give none."""

import os
import secrets
from pathlib import Path

from restante.model import ErrorKind, MailError
from services.delivery.settings import DeliverySettings


def http_token(settings: DeliverySettings) -> str:
    """Return the token of the settings, else that of DATA/run/delivery.token, made if absent.

    Raises MailError(CANNOT) with a text for the operator.
    """
    if settings.http_token is not None:
        return settings.http_token.get_secret_value()
    path = settings.run_dir / "delivery.token"
    try:
        settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _read(path) or _make(path)
    except OSError as error:
        raise MailError(ErrorKind.CANNOT, f"{path}: {error.strerror}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _make(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    temporary = path.with_name(f".delivery.token.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, token.encode() + b"\n")
    finally:
        os.close(fd)
    try:
        os.link(temporary, path)  # whoever is first wins; the file is never seen half written
    except FileExistsError:
        token = _read(path) or token
        if path.stat().st_size == 0:
            os.replace(temporary, path)
            return token
    temporary.unlink(missing_ok=True)
    return token
