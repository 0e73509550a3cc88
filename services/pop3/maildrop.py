"""The maildrop of one POP3 session: the INBOX as it was at login, numbered from 1.

Numbers, sizes and UIDLs come from the columns of the folder, of which removing rows makes new
ones: the snapshot is a reference and a count, no copy. Mail that comes or goes meanwhile changes
neither. Nothing is locked, so any number of sessions may have one mailbox open (RFC 1939 asks
for a lock; clients on two devices, and IMAP beside POP3, need none). A message that another
session removed stays in the listing and answers -ERR when it is asked for.

Deleting happens at QUIT in one call of the store, in the UPDATE state alone (RFC 1939
section 6). Messages read by RETR get \\Seen then too, in one journal write: Courier and
Dovecot mark them one by one when they are sent; what a client sees is the same.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Final

from restante.model import ErrorKind, Flag, MailError
from restante.store.changes import NAMED, StoreMode
from restante.store.mailbox import Mailbox
from restante.store.names import message_id

READ_AHEAD_BYTES: Final = 256 * 1024  # of messages held for one session before they are asked for
READ_AHEAD_COUNT: Final = 32

_SEEN: Final = int(Flag.SEEN)  # "&" of an enum costs more than the rest of the question


class Maildrop:
    """What one session sees. Methods marked BLOCKING do file work: call them through the pool."""

    __slots__ = (
        "_besides",
        "_columns",
        "_deleted",
        "_fetched",
        "_last",
        "_mailbox",
        "_octets",
        "_retrieved",
        "_unsaid",
        "count",
        "identity",
    )

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._columns = mailbox.columns
        self.count = len(self._columns)
        self.identity = mailbox.identity  # for file work in the pool
        self._octets = sum(self._columns.wire_sizes[: self.count])
        self._deleted: set[int] = set()
        self._fetched: dict[int, bytes] = {}  # read ahead, by number
        self._retrieved: set[int] = set()
        self._unsaid: tuple[bytes, ...] = ()  # base names of what was read for the first time
        self._besides = 0  # more of them, not named
        self._last = 0  # the number that was asked for last

    # --- what the columns answer --------------------------------------------------------------

    def check(self, number: int) -> None:
        """Pass for a message that is there and not marked deleted. Raises MailError(NOT_FOUND)."""
        if not 0 < number <= self.count or number in self._deleted:
            raise MailError(ErrorKind.NOT_FOUND, "Invalid message number.")

    def size(self, number: int) -> int:
        """Octets of a message on the wire."""
        return self._columns.wire_sizes[number - 1]

    def total(self) -> tuple[int, int]:
        """Number and octets of the messages not marked deleted (STAT)."""
        gone = sum(map(self.size, self._deleted))
        return self.count - len(self._deleted), self._octets - gone

    def numbers(self) -> Iterator[int]:
        """The message numbers not marked deleted."""
        everything = range(1, self.count + 1)
        if not self._deleted:
            return iter(everything)
        return (n for n in everything if n not in self._deleted)

    def uidl(self, number: int) -> str:
        """The unique id of a message."""
        return self._mailbox.uidl(number - 1, self._columns)

    # --- marks --------------------------------------------------------------------------------

    def delete(self, number: int) -> None:
        """Mark for deletion at QUIT."""
        self.check(number)
        self._deleted.add(number)
        self._fetched.pop(number, None)

    def reset(self) -> None:
        """Forget the marks (RSET)."""
        self._deleted.clear()

    def mark_retrieved(self, number: int) -> None:
        """Remember that the whole message was sent."""
        if not self._columns.flags[number - 1] & _SEEN:
            self._retrieved.add(number)

    # --- messages -----------------------------------------------------------------------------

    def take(self, number: int) -> bytes | None:
        """Return a message that was read ahead, and forget it; None where it was not."""
        wire = self._fetched.pop(number, None)
        if wire is not None:
            self._last = number
        return wire

    def read_cached(self, number: int) -> bytes | None:
        """Return a small message that takes no waiting for the disk, else None."""
        wire = self._mailbox.read_cached(self._columns.uids[number - 1])
        if wire is not None:
            self._last = number
        return wire

    def plan(self, number: int, asked: Iterable[int]) -> list[int]:
        """Which messages to read now that `number` is wanted and `asked` wait in the pipeline.

        A client that walks upwards one by one gets the next ones read in the same hop.
        """
        walking = number == self._last + 1
        self._last = number
        wanted = list(asked)
        if walking and not wanted:
            wanted = list(range(number + 1, min(number + READ_AHEAD_COUNT, self.count + 1)))
        plan = [number]
        left = READ_AHEAD_BYTES - self.size(number)
        for other in wanted:
            if other in self._fetched or other in plan or other in self._deleted:
                continue
            if not 0 < other <= self.count:
                continue
            left -= self.size(other)
            if left < 0 or len(plan) == READ_AHEAD_COUNT:
                break
            plan.append(other)
        return plan

    def fetch(self, plan: list[int]) -> bytes:
        """BLOCKING. Read the messages of a plan; return the first, keep the others.

        Raises MailError (GONE, TEMPORARY) for the first only; another that fails is left for later.
        """
        uids = self._columns.uids
        first = self._mailbox.read(uids[plan[0] - 1])
        for number in plan[1:]:
            try:
                self._fetched[number] = self._mailbox.read(uids[number - 1])
            except MailError:
                break
        return first

    # --- the end ------------------------------------------------------------------------------

    @property
    def has_update(self) -> bool:
        """True when finish() has anything to do."""
        return bool(self._deleted or self._retrieved)

    def finish(self, *, update: bool) -> int:
        """BLOCKING. Write \\Seen marks, and with `update` (QUIT) remove what is marked deleted.

        Returns how many were removed. Raises MailError when they could not be.
        """
        uids = self._columns.uids
        removed = 0
        doomed = self._deleted if update else set()
        if doomed:
            gone = self._mailbox.remove([uids[n - 1] for n in sorted(doomed)])
            removed = len(gone)
            read = {uids[n - 1]: n for n in self._retrieved & doomed}
            self._unsaid += tuple(self._columns.base(read[uid] - 1) for uid in gone if uid in read)
        seen = [uids[n - 1] for n in sorted(self._retrieved - doomed)]
        self._retrieved.clear()
        self._deleted.clear()
        if seen:
            result = self._mailbox.store(seen, StoreMode.ADD, Flag.SEEN)
            self._unsaid += tuple(result.read)
            self._besides += result.seen - len(result.read)
        return removed

    def first_read(self) -> tuple[list[str], int]:
        """Return the ids of messages that `finish` found to be read for the first time, once.

        NAMED at most, and the number of all others.
        """
        bases, besides = self._unsaid, self._besides
        self._unsaid, self._besides = (), 0
        ids = [message_id(os.fsdecode(base)) for base in bases[:NAMED]]
        return ids, besides + len(bases) - len(ids)

    def close(self) -> None:
        """BLOCKING at most shortly. Let the folder go."""
        self._fetched.clear()
        self._mailbox.release()

    def try_close(self) -> bool:
        """As `close`, where that takes no waiting; False: nothing was done."""
        return self._mailbox.try_release()
