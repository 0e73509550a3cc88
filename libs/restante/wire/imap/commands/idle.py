"""IDLE (RFC 2177)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import Cursor


@dataclass(frozen=True, slots=True)
class Idle(Command):
    """IDLE. The session then calls `ImapParser.expect_line` and waits for the line DONE."""

    name: ClassVar[str] = "IDLE"


def read_idle(c: Cursor, tag: str) -> Idle:
    """Read nothing."""
    c.end()
    return Idle(tag)
