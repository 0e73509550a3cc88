"""What a module of accounts is.

A module answers "this account", or None for "not mine" (ask the next module). Any fault, even
a doubtful one, is MailError(TEMPORARY) and ends the search: "not mine" from the last module may
bounce mail, so it must be certain.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from restante.model import Account
from services.auth.names import Login


@dataclass(frozen=True, slots=True)
class Record:
    """An account with what is needed to check its passwords. Never leaves the auth service."""

    account: Account
    password: str = field(default="", repr=False)  # stored hash; "" fits no password
    service_passwords: Mapping[str, str] = field(default_factory=dict, repr=False)

    def password_for(self, service: str) -> str:
        """Return the hash for a service such as "imap"; the general one where it has no own."""
        return self.service_passwords.get(service, self.password)


class Backend(Protocol):
    """A module. Used from the event loop; blocking work happens in its own threads."""

    name: str

    async def open(self) -> None:
        """Get ready. Raises MailError(TEMPORARY): the module may still work later."""

    async def find(self, login: Login) -> Record | None:
        """Return the account of a login, None where it is not of this module."""

    def records(self) -> AsyncIterator[Record]:
        """Yield every account, in no order. Raises MailError(TEMPORARY), also midway."""

    async def set_password(self, login: Login, stored: str) -> bool:
        """Store a new hash; False where this module cannot or does not have the account."""

    async def close(self) -> None:
        """Let go of files and connections."""
