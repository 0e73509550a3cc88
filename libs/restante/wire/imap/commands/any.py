"""Commands of any state (RFC 3501 section 6.1) and ID (RFC 2971)."""

from dataclasses import dataclass
from typing import ClassVar, Final

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor


@dataclass(frozen=True, slots=True)
class Capability(Command):
    """CAPABILITY."""

    name: ClassVar[str] = "CAPABILITY"


@dataclass(frozen=True, slots=True)
class Noop(Command):
    """NOOP."""

    name: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Logout(Command):
    """LOGOUT."""

    name: ClassVar[str] = "LOGOUT"


@dataclass(frozen=True, slots=True)
class Id(Command):
    """ID: what the client says of itself; () for NIL. Field names are lower case."""

    name: ClassVar[str] = "ID"
    fields: tuple[tuple[bytes, bytes | None], ...] = ()


_MAX_FIELDS: Final = 30  # RFC 2971 section 3.3; what is more is read and dropped
_MAX_NAME: Final = 30
_MAX_VALUE: Final = 1024


def read_capability(c: Cursor, tag: str) -> Capability:
    """Read nothing."""
    c.end()
    return Capability(tag)


def read_noop(c: Cursor, tag: str) -> Noop:
    """Read nothing."""
    c.end()
    return Noop(tag)


def read_logout(c: Cursor, tag: str) -> Logout:
    """Read nothing."""
    c.end()
    return Logout(tag)


def read_id(c: Cursor, tag: str) -> Id:
    """Read NIL or `(name value ...)`."""
    c.sp()
    fields: list[tuple[bytes, bytes | None]] = []
    if not c.sees(b"("):
        if c.word() != b"NIL":
            raise BadSyntaxError("list or NIL expected")
    else:
        c.open()
        over = c.empty()
        while not over:
            name = c.string().lower()
            c.sp()
            value = c.nstring()
            over = c.close()
            if len(fields) < _MAX_FIELDS and len(name) <= _MAX_NAME:
                fields.append((name, value if value is None else value[:_MAX_VALUE]))
    c.end()
    return Id(tag, tuple(fields))
