"""What all sessions of a worker share."""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

from restante.model import Account
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.store.account import MailStore
from restante.store.mailbox import Mailbox
from restante.store.pool import StorePool
from restante.wire.imap.mailbox_name import MailboxNames
from services.imap.settings import ImapSettings

_REMEMBERED: Final = 100_000  # accounts


class Authenticator(Protocol):
    """The door to the auth service (restante.rpc.client.AuthClient)."""

    async def admit(self, attempt: LoginAttempt) -> Admitted:
        """Judge a login. Raises MailError(AUTH_FAILED | DISABLED | PERMISSION | TEMPORARY)."""

    async def scram_parameters(
        self, user: str, *, mechanism: str, service: str, peer: str = "", session: str = ""
    ) -> tuple[bytes, int]:
        """Return salt and iterations. Raises MailError(AUTH_FAILED | TEMPORARY)."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One per worker."""

    settings: ImapSettings
    auth: Authenticator
    store: MailStore
    pool: StorePool
    names: MailboxNames
    _complete: set[str] = field(default_factory=set)
    _releases: set[asyncio.Task[None]] = field(default_factory=set)

    def is_complete(self, account: Account) -> bool:
        """True if the account's Maildir was seen whole: most logins need no look at the disk.

        A Maildir that is removed later is made anew by the store when it is opened.
        """
        return account.address in self._complete

    def note_complete(self, account: Account) -> None:
        """Remember that the Maildir is whole. What is remembered is bounded."""
        if len(self._complete) >= _REMEMBERED:
            self._complete.clear()
        self._complete.add(account.address)

    def give_back(self, mailbox: Mailbox) -> None:
        """Release a mailbox, in the pool where others are closed for it, which may write."""
        if mailbox.try_release():
            return
        task = asyncio.get_running_loop().create_task(self.pool.run(mailbox.release))
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)

    async def settle(self) -> None:
        """Wait until everything given back is released."""
        while self._releases:
            await asyncio.wait(self._releases)


def names_of(settings: ImapSettings) -> MailboxNames:
    """Return the layout of folder names that the settings ask for."""
    return MailboxNames(settings.separator, "INBOX." if settings.separator == "." else "")
