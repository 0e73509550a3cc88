"""The service secret: what seals second factors and makes answers about unknown users constant.

All replicas on one database must share it, by the setting; a single service makes its own file
once. Who loses it loses every TOTP secret (their owners set them up anew), and nothing else.
Each use derives a key of its own (`derive`), so that no two uses share one.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from restante.model import ErrorKind, MailError
from services.auth.settings import AuthSettings

MIN_LENGTH: Final = 16  # characters


def service_secret(settings: AuthSettings) -> bytes:
    """Return the secret: RESTANTE_AUTH_SECRET, else DATA/auth/secret (0600), made where absent.

    Reads and writes a file. Raises MailError(CANNOT) where it cannot be used.
    """
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    return kept_text("service secret", settings.data / "auth" / "secret").encode()


def derive(secret: bytes, purpose: str) -> bytes:
    """Return 32 bytes for one purpose (HKDF-SHA256, RFC 5869)."""
    kdf = HKDF(SHA256(), 32, salt=None, info=f"restante {purpose}".encode())
    return kdf.derive(secret)


def kept_text(what: str, path: Path) -> str:
    """Return the text of a file that only we can read; made of 256 random bits where absent.

    Two processes that start at once get the same. Raises MailError(CANNOT).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _create(path)
        except FileExistsError:
            text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MailError(ErrorKind.CANNOT, f"{what} {path}: {error}") from error
    if len(text) < MIN_LENGTH:
        raise MailError(ErrorKind.CANNOT, f"{what} {path}: too short; remove the file")
    return text


def _create(path: Path) -> str:
    """Write a new text under another name, then link: nobody reads half of one."""
    text = secrets.token_urlsafe(32)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        os.unlink(draft)
    return text
