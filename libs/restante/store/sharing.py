"""Mailboxes shared by the sessions of a process, counted, and kept warm for a while.

A mailbox that nobody uses any more stays open, since the next POP3 session or SELECT of the same
folder is then answered from memory after a look at what changed. The least recently used goes
first, bounded by number and by the messages they hold.

Any thread. Opening happens outside the common lock, under one of the mailbox's own, so that a slow
folder delays only those who want it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar

from restante.store.metrics import MAILBOX_OPENED, MAILBOX_SHARED, MAILBOXES

IDLE_MAILBOXES: Final = 1024  # some KiB each
IDLE_MESSAGES: Final = 500_000


class Shareable(Protocol):
    """What is asked of a mailbox here."""

    def close(self) -> None:
        """Give everything up; nobody uses it any more."""

    def __len__(self) -> int:
        """How many messages it holds."""


M = TypeVar("M", bound=Shareable)


class _Shared(Generic[M]):
    __slots__ = ("key", "mailbox", "opening", "users")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.mailbox: M | None = None
        self.opening = threading.Lock()
        self.users = 0


class SharedMailboxes(Generic[M]):
    """The open mailboxes of a process by a key of the caller's."""

    def __init__(
        self, idle_mailboxes: int = IDLE_MAILBOXES, idle_messages: int = IDLE_MESSAGES
    ) -> None:
        self._max_idle = idle_mailboxes
        self._max_messages = idle_messages
        self._guard = threading.Lock()
        self._by_key: dict[Hashable, _Shared[M]] = {}
        self._by_mailbox: dict[int, _Shared[M]] = {}
        self._idle: OrderedDict[Hashable, tuple[M, int]] = OrderedDict()  # with its messages
        self._idle_messages = 0
        MAILBOXES.follow(self, lambda own: len(own._idle), "warm")
        MAILBOXES.follow(self, lambda own: len(own._by_mailbox) - len(own._idle), "in use")

    def acquire(self, key: Hashable, make: Callable[[], M]) -> M:
        """Return the mailbox of this key, made if need be. BLOCKING; raises what `make` raises."""
        with self._guard:
            shared = self._by_key.get(key)
            if shared is None:
                shared = self._by_key[key] = _Shared(key)
            shared.users += 1
            self._take_idle(key)
        try:
            with shared.opening:
                if shared.mailbox is not None:
                    MAILBOX_SHARED.inc()
                else:
                    MAILBOX_OPENED.inc()
                    mailbox = make()
                    with self._guard:
                        shared.mailbox = mailbox
                        self._by_mailbox[id(mailbox)] = shared
                return shared.mailbox
        except BaseException:
            with self._guard:
                shared.users -= 1
                unused = not shared.users and shared.mailbox is None
                if unused and self._by_key.get(key) is shared:
                    del self._by_key[key]
            raise

    def acquire_if(self, key: Hashable, fits: Callable[[M], bool]) -> M | None:
        """Return the mailbox of this key if it is open and `fits`; None otherwise. Never blocks.

        `fits` runs while nobody can take or give back a mailbox: it must be quick.
        """
        with self._guard:
            shared = self._by_key.get(key)
            if shared is None or shared.mailbox is None or not fits(shared.mailbox):
                return None
            MAILBOX_SHARED.inc()
            shared.users += 1
            self._take_idle(key)
            return shared.mailbox

    def release(self, mailbox: M) -> None:
        """A user is done with it. BLOCKING where others are closed for it."""
        for other in self._release(mailbox):
            other.close()

    def try_release(self, mailbox: M) -> bool:
        """As `release`, if nothing must be closed for it; False: nothing was done. Never blocks."""
        with self._guard:
            shared = self._by_mailbox[id(mailbox)]
            if shared.users == 1:
                messages = self._idle_messages + len(mailbox)
                full = len(self._idle) >= self._max_idle or messages > self._max_messages
                if full or self._by_key.get(shared.key) is not shared:
                    return False
            self._count_down(shared, mailbox)
            return True

    def _release(self, mailbox: M) -> list[M]:
        """Return what must be closed now."""
        with self._guard:
            shared = self._by_mailbox[id(mailbox)]
            if shared.users > 1 or self._by_key.get(shared.key) is shared:
                self._count_down(shared, mailbox)
                return self._surplus()
            del self._by_mailbox[id(mailbox)]  # forgotten meanwhile
            return [mailbox]

    def _count_down(self, shared: _Shared[M], mailbox: M) -> None:
        """One user less; the last one leaves it idle. The caller holds the lock."""
        shared.users -= 1
        if not shared.users:
            self._idle[shared.key] = mailbox, len(mailbox)
            self._idle_messages += self._idle[shared.key][1]

    def forget(self, known: Callable[[Hashable], bool]) -> None:
        """Let nobody else get the mailboxes whose key is `known`; their users keep them."""
        unused: list[M] = []
        with self._guard:
            for key in [key for key in self._by_key if known(key)]:
                del self._by_key[key]
                mailbox = self._take_idle(key)
                if mailbox is not None:
                    del self._by_mailbox[id(mailbox)]
                    unused.append(mailbox)
        for mailbox in unused:
            mailbox.close()

    def close(self) -> None:
        """Close all that nobody uses."""
        with self._guard:
            self._max_idle = 0
            surplus = self._surplus()
        for other in surplus:
            other.close()

    def _surplus(self) -> list[M]:
        """Take out what is too much; the caller holds the lock and closes them without it."""
        surplus: list[M] = []
        while self._idle and (
            len(self._idle) > self._max_idle or self._idle_messages > self._max_messages
        ):
            key, (mailbox, messages) = self._idle.popitem(last=False)
            del self._by_key[key]
            del self._by_mailbox[id(mailbox)]
            self._idle_messages -= messages
            surplus.append(mailbox)
        return surplus

    def _take_idle(self, key: Hashable) -> M | None:
        """Take a mailbox out of the unused ones; the caller holds the lock."""
        mailbox, messages = self._idle.pop(key, (None, 0))
        self._idle_messages -= messages
        return mailbox
