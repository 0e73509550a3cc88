"""Names of folders inside an account, independent of disk encoding and of IMAP's separator.

A folder is a tuple of components, () is INBOX. A component is non-empty NFC text without "."
(Maildir++'s separator on disk), "/" , control characters, or a leading "~"; so a valid name can
never leave the account's Maildir.
"""

import unicodedata
from typing import Final

from restante.model.error import ErrorKind, MailError

FolderName = tuple[str, ...]

INBOX: Final[FolderName] = ()

_MAX_BYTES: Final = 240  # of the whole name on disk: a file name holds 255
_MAX_DEPTH: Final = 32


def folder_name(components: tuple[str, ...]) -> FolderName:
    """Check and normalise (NFC) the components. Raises MailError(CANNOT)."""
    if len(components) > _MAX_DEPTH:
        raise MailError(ErrorKind.CANNOT, "folder name is nested too deeply")
    out = []
    for raw in components:
        text = unicodedata.normalize("NFC", raw)
        bad = (
            not text
            or text.startswith("~")
            or any(c in "./" or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)
        )
        if bad:
            raise MailError(ErrorKind.CANNOT, "folder name is not allowed")
        out.append(text)
    if len(".".join(out).encode()) > _MAX_BYTES:
        raise MailError(ErrorKind.CANNOT, "folder name is too long")
    if len(out) == 1 and out[0].upper() == "INBOX":
        raise MailError(ErrorKind.CANNOT, "that name means INBOX")
    return tuple(out)
