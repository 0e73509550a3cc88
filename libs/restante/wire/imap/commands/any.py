"""Commands of any state (RFC 3501 section 6.1) and ID (RFC 2971)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command


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
