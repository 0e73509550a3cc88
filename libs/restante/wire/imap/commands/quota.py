"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208, RFC 2087)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import Cursor


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


def read_getquota(c: Cursor, tag: str) -> GetQuota:
    """Read a quota root."""
    c.sp()
    root = c.astring()
    c.end()
    return GetQuota(tag, root)


def read_getquotaroot(c: Cursor, tag: str) -> GetQuotaRoot:
    """Read a mailbox name."""
    c.sp()
    mailbox = c.astring()
    c.end()
    return GetQuotaRoot(tag, mailbox)


def read_setquota(c: Cursor, tag: str) -> SetQuota:
    """Read a quota root and its limits."""
    c.sp()
    root = c.astring()
    c.sp()
    c.open()
    over = c.empty()
    resources: list[tuple[str, int]] = []
    while not over:
        name = c.word().decode("ascii")
        c.sp()
        resources.append((name, c.number()))
        over = c.close()
    c.end()
    return SetQuota(tag, root, tuple(resources))
