"""What all sessions of a worker share."""

from dataclasses import dataclass
from typing import Protocol

from restante.store.account import MailStore

from restante.model import Account
from restante.store.pool import StorePool
from restante.wire.imap.mailbox_name import MailboxNames
from services.imap.settings import ImapSettings


class Authenticator(Protocol):
    """The door to the auth service (restante.rpc.client.AuthClient)."""

    async def authenticate(
        self,
        user: str,
        password: str,
        *,
        service: str,
        peer: str = "",
        tls: bool = False,
        mechanism: str = "plain",
    ) -> Account:
        """Check a password. Raises MailError(AUTH_FAILED | DISABLED | TEMPORARY)."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One per worker."""

    settings: ImapSettings
    auth: Authenticator
    store: MailStore
    pool: StorePool
    names: MailboxNames


def names_of(settings: ImapSettings) -> MailboxNames:
    """Return the layout of folder names that the settings ask for."""
    return MailboxNames(settings.separator, "INBOX." if settings.separator == "." else "")
