"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 section 6.3, RFC 6154).

Names are the octets as sent: `MailboxNames.decode` makes a FolderName of them.
"""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command


@dataclass(frozen=True, slots=True)
class Create(Command):
    r"""CREATE mailbox [(USE (\Sent ...))]; uses as sent, such as "\Sent"."""

    name: ClassVar[str] = "CREATE"
    mailbox: bytes
    special_use: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete(Command):
    """DELETE mailbox."""

    name: ClassVar[str] = "DELETE"
    mailbox: bytes


@dataclass(frozen=True, slots=True)
class Rename(Command):
    """RENAME source target."""

    name: ClassVar[str] = "RENAME"
    source: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class Subscribe(Command):
    """SUBSCRIBE mailbox."""

    name: ClassVar[str] = "SUBSCRIBE"
    mailbox: bytes


@dataclass(frozen=True, slots=True)
class Unsubscribe(Command):
    """UNSUBSCRIBE mailbox."""

    name: ClassVar[str] = "UNSUBSCRIBE"
    mailbox: bytes
