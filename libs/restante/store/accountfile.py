"""`restante.account`: the lock of an account, and inside it the UIDVALIDITY high-water mark.

Rule 23: a new UIDVALIDITY exceeds every older one of the account, so that a folder that is
deleted and made again never shows old numbers with new meaning. Values are seconds of the clock,
or one above the mark where the clock is not ahead of it.

The mark lives inside the locked file, in two slots with a checksum each; the lower one is
overwritten, so that a torn write leaves the other. Values only rise: the higher valid slot holds.
A damaged file counts as empty; the clock then still exceeds what it gave before.

The lock also orders changes of the account's small files that are replaced by rename
(subscriptions, special uses). For those the Maildir's directory is opened, asked and closed after
the lock is taken, which makes a network client look at names afresh (rule 18b).

Lock order: a folder's journal first, then this one; nothing is called that locks a journal while
this one is held.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.store import durable
from restante.store.durable import mail_error
from restante.store.layout import open_directory
from restante.store.lock import locked

NAME: Final = "restante.account"

_MAGIC: Final = b"restante acct 1\n"
_SLOT: Final = struct.Struct("<QI4x")  # value, checksum
_MAX: Final = (1 << 32) - 1


class AccountFile:
    """The file while its lock is held."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def next_uidvalidity(self, at_least: int = 0) -> int:
        """Return a durable new value, above every older one and not below `at_least`. OSError."""
        first, second = self._slots()
        value = max(int(time.time()), first + 1, second + 1, at_least)
        if value > _MAX:
            raise MailError(ErrorKind.CORRUPT, "no UIDVALIDITY is left")
        self._write(value, 0 if first <= second else 1)
        return value

    def note_uidvalidity(self, value: int) -> None:
        """Raise the mark to a value that came from elsewhere (another server's list). OSError."""
        first, second = self._slots()
        if max(first, second) < value <= _MAX:
            self._write(value, 0 if first <= second else 1)

    def highest(self) -> int:
        """Return the mark: no folder ever had a higher value. OSError."""
        return max(self._slots())

    def _slots(self) -> tuple[int, int]:
        data = os.pread(self._fd, len(_MAGIC) + 2 * _SLOT.size, 0)
        values = [0, 0]
        if data.startswith(_MAGIC):
            for number in (0, 1):
                raw = data[len(_MAGIC) + number * _SLOT.size :][: _SLOT.size]
                if len(raw) == _SLOT.size:
                    value, checksum = _SLOT.unpack(raw)
                    if checksum == zlib.crc32(raw[:8]) and value <= _MAX:
                        values[number] = value
        return values[0], values[1]

    def _write(self, value: int, number: int) -> None:
        raw = struct.pack("<Q", value)
        if os.pread(self._fd, len(_MAGIC), 0) != _MAGIC:
            os.pwrite(self._fd, _MAGIC, 0)
        slot = _SLOT.pack(value, zlib.crc32(raw))
        os.pwrite(self._fd, slot, len(_MAGIC) + number * _SLOT.size)
        os.fsync(self._fd)


@contextmanager
def account_file(maildir: int) -> Iterator[AccountFile]:
    """Lock the account whose Maildir is open as `maildir`. BLOCKING.

    Not reentrant. OSError, MailError(TEMPORARY) where the lock cannot be had.
    """
    fd = durable.open_or_create(maildir, NAME)
    try:
        with locked(fd):
            os.close(open_directory(".", maildir))
            yield AccountFile(fd)
    finally:
        os.close(fd)


def next_uidvalidity(maildir: Path, at_least: int = 0) -> int:
    """Return a new UIDVALIDITY of an account's folder, durable. BLOCKING; MailError(TEMPORARY)."""
    try:
        root = open_directory(maildir)
        try:
            with account_file(root) as account:
                return account.next_uidvalidity(at_least)
        finally:
            os.close(root)
    except OSError as error:
        raise mail_error(error) from error


def note_uidvalidity(maildir: Path, value: int) -> None:
    """Keep new values above one taken over from another server. BLOCKING; MailError(TEMPORARY)."""
    try:
        root = open_directory(maildir)
        try:
            with account_file(root) as account:
                account.note_uidvalidity(value)
        finally:
            os.close(root)
    except OSError as error:
        raise mail_error(error) from error
