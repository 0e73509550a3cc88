"""The tagged end of a command (RFC 3501 section 7.1) and what a MailError becomes (RFC 5530)."""

from dataclasses import dataclass
from typing import Final

from restante.model import ErrorKind, MailError
from restante.wire.imap.response import STATUS_OF, status

_LOGIN_FAILED: Final = "Authentication failed."


@dataclass(frozen=True, slots=True)
class Reply:
    """A tagged answer without its tag. `code` stands in brackets."""

    word: str
    text: str
    code: str | None = None

    def line(self, tag: str | None) -> bytes:
        """Return the whole line; None makes it untagged."""
        return status(tag, self.word, self.text, self.code)


def ok(text: str, code: str | None = None) -> Reply:
    """Return an OK."""
    return Reply("OK", text, code)


def no(text: str, code: str | None = None) -> Reply:
    """Return a NO."""
    return Reply("NO", text, code)


def bad(text: str, code: str | None = None) -> Reply:
    """Return a BAD."""
    return Reply("BAD", text, code)


def refusal(error: MailError, *, try_create: bool = False) -> Reply:
    """Return the NO or BAD of an error, by the one table of wire.imap.response.

    `try_create`: the folder that is missing is the target of APPEND, COPY or MOVE. An unknown
    user and a wrong password read alike, so that nobody learns which accounts exist.
    """
    if error.kind in (ErrorKind.AUTH_FAILED, ErrorKind.NO_SUCH_USER):
        return no(_LOGIN_FAILED, STATUS_OF[ErrorKind.AUTH_FAILED][1])
    word, code = STATUS_OF[error.kind]
    if try_create and error.kind is ErrorKind.NO_SUCH_FOLDER:
        code = "TRYCREATE"
    return Reply(word, error.text[:400], code)
