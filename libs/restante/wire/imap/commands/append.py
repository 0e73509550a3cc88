"""APPEND (RFC 3501 section 6.3.11, RFC 3516 literal8, RFC 6855 UTF8)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.model import NO_FLAGS, Flag
from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor
from restante.wire.imap.dates import parse_date_time
from restante.wire.imap.flags import read_flag_list


@dataclass(frozen=True, slots=True)
class Append(Command):
    """APPEND up to, not including, its message literal; carried by the event AppendStart."""

    name: ClassVar[str] = "APPEND"
    mailbox: bytes
    size: int  # octets of the literal as announced
    flags: Flag = NO_FLAGS
    keywords: tuple[str, ...] = ()
    date: int | None = None  # Unix seconds
    binary: bool = False  # literal8: may contain NUL
    utf8: bool = False  # inside UTF8 (...)


def read_append(c: Cursor, tag: str, size: int, *, binary: bool) -> Append | None:
    """Read what stands before a literal of `size` octets.

    Returns None if that literal is the mailbox name. A date that no calendar has is refused.
    """
    if c.at_end():
        return None
    c.sp()
    if c.at_end():
        return None
    mailbox = c.astring()
    c.sp()
    flags = NO_FLAGS
    keywords: tuple[str, ...] = ()
    date: int | None = None
    if c.sees(b"("):
        flags, keywords = read_flag_list(c)
        c.sp()
    if c.sees(b'"'):
        try:
            date = parse_date_time(c.string())
        except ValueError as fault:
            raise BadSyntaxError("bad date-time") from fault
        c.sp()
    utf8 = False
    if not c.at_end():
        if c.word() != b"UTF8":
            raise BadSyntaxError("message literal expected")
        c.sp()
        c.open()
        utf8 = True
    c.end()
    return Append(tag, mailbox, size, flags, keywords, date, binary, utf8)


def read_append_without_message(c: Cursor, tag: str) -> Append:
    """Refuse an APPEND that ended without its message."""
    raise BadSyntaxError("message literal expected")
