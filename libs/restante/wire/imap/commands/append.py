"""APPEND (RFC 3501 section 6.3.11, RFC 3516 literal8, RFC 6855 UTF8)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.model import NO_FLAGS, Flag
from restante.wire.imap.commands.command import Command


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
