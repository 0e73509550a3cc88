"""Status and continuation responses (RFC 3501 sections 7.1, 7.5; codes of RFC 5530)."""

import re
from typing import Final

from restante.model import ErrorKind

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")

# What a MailError becomes where a command has nothing better to say.
STATUS_OF: Final[dict[ErrorKind, tuple[str, str | None]]] = {
    ErrorKind.AUTH_FAILED: ("NO", "AUTHENTICATIONFAILED"),
    ErrorKind.DISABLED: ("NO", "AUTHORIZATIONFAILED"),
    ErrorKind.PRIVACY_REQUIRED: ("NO", "PRIVACYREQUIRED"),
    ErrorKind.PERMISSION: ("NO", "NOPERM"),
    ErrorKind.NO_SUCH_USER: ("NO", "NONEXISTENT"),
    ErrorKind.NO_SUCH_FOLDER: ("NO", "NONEXISTENT"),
    ErrorKind.NOT_FOUND: ("NO", "NONEXISTENT"),
    ErrorKind.ALREADY_EXISTS: ("NO", "ALREADYEXISTS"),
    ErrorKind.CANNOT: ("NO", "CANNOT"),
    ErrorKind.BAD_REQUEST: ("BAD", "CLIENTBUG"),
    ErrorKind.TOO_LARGE: ("NO", "TOOBIG"),
    ErrorKind.LIMIT: ("NO", "LIMIT"),
    ErrorKind.OVER_QUOTA: ("NO", "OVERQUOTA"),
    ErrorKind.GONE: ("NO", "EXPUNGEISSUED"),
    ErrorKind.IN_USE: ("NO", "INUSE"),
    ErrorKind.TEMPORARY: ("NO", "UNAVAILABLE"),
    ErrorKind.CORRUPT: ("NO", "CORRUPTION"),
    ErrorKind.INTERNAL: ("NO", "SERVERBUG"),
}


def status(tag: str | None, word: str, text: str, code: str | None = None) -> bytes:
    """Return `tag OK [code] text`; tag None makes it untagged. Text is made safe here."""
    text = _CONTROL.sub(" ", text) or "-"
    middle = f"[{code}] " if code else ""
    return f"{tag or '*'} {word} {middle}{text}\r\n".encode()


def ok(tag: str | None, text: str, code: str | None = None) -> bytes:
    """Return an OK response."""
    return status(tag, "OK", text, code)


def bye(text: str, code: str | None = None) -> bytes:
    """Return `* BYE text`."""
    return status(None, "BYE", text, code)


def continuation(text: str = "OK") -> bytes:
    """Return `+ text`: go on with the literal, or the message of IDLE."""
    return b"+ %b\r\n" % _CONTROL.sub(" ", text).encode()
