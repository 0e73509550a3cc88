"""What a module of accounts is.

A module answers "this account", or None for "not mine" (ask the next module). Any fault, even
a doubtful one, is MailError(TEMPORARY) and ends the search: "not mine" from the last module may
bounce mail, so it must be certain.

Most modules give the stored hash in the Record, and auth checks passwords against it. A module
whose directory checks passwords itself (an LDAP bind, PAM, a command) sets `Record.checks` and
is asked by `check`.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from restante.model import Account
from services.auth.database.engine import Database
from services.auth.names import Login, NameRules


@dataclass(frozen=True, slots=True)
class Record:
    """An account with what is needed to check its passwords. Never leaves the auth service."""

    account: Account
    password: str = field(default="", repr=False)  # stored hash; "" fits no password
    service_passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    clear: str = field(default="", repr=False)  # the clear password, where the module keeps it
    # userdb's HMAC contexts for CRAM, by field name without "pw": "hmac-md5", "imap-hmac-md5".
    contexts: Mapping[str, str] = field(default_factory=dict, repr=False)
    checks: bool = False  # ask Backend.check instead of comparing with `password`
    # False where nobody tells us of changes: services must not remember that a password was right.
    reusable: bool = True

    def password_for(self, service: str) -> str:
        """Return the hash for a service such as "imap"; the general one where it has no own."""
        return self.service_passwords.get(service, self.password)


@dataclass(frozen=True, slots=True)
class Check:
    """A password to be checked by the module itself."""

    password: bytes = field(repr=False)  # 1 to MAX_PASSWORD bytes without NUL
    service: str  # imap, pop3, webmail, smtp
    peer: str = ""  # IP address of the mail client, "" if unknown


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """A new password for an account."""

    new: bytes = field(repr=False)
    stored: str = field(repr=False)  # a hash of `new`, ready to be kept
    old: bytes = field(default=b"", repr=False)  # b"" where an administrator sets it
    keep_session: str = ""  # id of the webmail session that goes on: the owner's own
    # What challenges need (passwords/derive.py), by kind; only the module sql keeps them.
    verifiers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ModuleContext:
    """What modules are made with, beside the settings."""

    rules: NameRules
    database: Database  # our own; opened and closed by the service


class Backend(Protocol):
    """A module. Used from the event loop; blocking work happens in its own threads."""

    name: str

    async def open(self) -> None:
        """Get ready. Raises MailError(TEMPORARY): the module may still work later."""

    async def find(self, login: Login) -> Record | None:
        """Return the account of a login, None where it is not of this module."""

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        """True where the password fits. Asked only for records that say `checks`.

        Raises MailError(TEMPORARY) for any doubt.
        """

    def records(self) -> AsyncIterator[Record]:
        """Yield every account, in no order. Raises MailError(TEMPORARY), also midway."""

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        """Store a new password; False where this module cannot or does not have the account.

        Auth writes the journal of revocations afterwards. Raises MailError(TEMPORARY | CANNOT).
        """

    async def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class KnowsDomains(Protocol):
    """A module with a list of domains of its own."""

    async def has_domain(self, name: str) -> bool:
        """Tell whether a canonical name is one of them. Raises MailError(TEMPORARY)."""
