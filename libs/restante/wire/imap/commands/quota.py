"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208, RFC 2087)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command


@dataclass(frozen=True, slots=True)
class GetQuota(Command):
    """GETQUOTA root."""

    name: ClassVar[str] = "GETQUOTA"
    root: bytes


@dataclass(frozen=True, slots=True)
class GetQuotaRoot(Command):
    """GETQUOTAROOT mailbox."""

    name: ClassVar[str] = "GETQUOTAROOT"
    mailbox: bytes


@dataclass(frozen=True, slots=True)
class SetQuota(Command):
    """SETQUOTA root (resource limit ...); resource names in upper case."""

    name: ClassVar[str] = "SETQUOTA"
    root: bytes
    resources: tuple[tuple[str, int], ...]
