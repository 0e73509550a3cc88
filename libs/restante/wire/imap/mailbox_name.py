"""IMAP mailbox names and folder names (RFC 3501 section 5.1, RFC 6855).

Two layouts: Courier's, "INBOX.Sent" with everything below the prefix "INBOX.", and "/" without
a prefix. INBOX itself is written in any case. A name that the layout cannot hold is
MailError(CANNOT): never BAD, never a path.
"""

from dataclasses import dataclass

from restante.model import INBOX, ErrorKind, FolderName, MailError, mutf7
from restante.model.folder_name import folder_name


@dataclass(frozen=True, slots=True)
class MailboxNames:
    """The layout of one server: separator "." with prefix "INBOX.", or "/" with ""."""

    separator: str = "."
    prefix: str = "INBOX."

    def decode(self, raw: bytes, *, utf8: bool = False, create: bool = False) -> FolderName:
        """Return the folder. `utf8`: the client enabled UTF-8. Raises MailError(CANNOT).

        `create` allows one separator at the end (RFC 3501 section 6.3.3).
        """
        if raw.upper() == b"INBOX":
            return INBOX
        text = _text(raw, utf8)
        if create and len(text) > 1 and text.endswith(self.separator):
            text = text[:-1]
            if text.upper() == "INBOX":
                return INBOX
        head = len(self.prefix)
        if text[:head].upper() != self.prefix.upper():
            raise MailError(ErrorKind.CANNOT, f"mailbox names begin with {self.prefix}")
        return folder_name(tuple(text[head:].split(self.separator)))

    def encode(self, name: FolderName, *, utf8: bool = False) -> bytes:
        """Return the IMAP name, not yet quoted (see encode.mailbox)."""
        if name == INBOX:
            return b"INBOX"
        text = self.prefix + self.separator.join(name)
        return (text if utf8 else mutf7.encode(text)).encode()


def _text(raw: bytes, utf8: bool) -> str:
    try:
        text = raw.decode() if utf8 else mutf7.decode(raw.decode("ascii"))
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise MailError(ErrorKind.CANNOT, "mailbox name is not valid text")
    return text
