"""From the address of a recipient to the account and folder that get the mail.

An account that bears the whole address wins; else user+detail means user. Answers of the auth
service are kept for a few seconds by setting, certain ones only (an account, or none), and dropped
when auth tells of any change: a busy mailing list asks once. Questions about one address that are
under way at the same time share one call; one that was asked before a change is not kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from restante.model import INBOX, Account, Address, ErrorKind, FolderName, MailError
from restante.model.folder_name import folder_name
from restante.rpc.revocation import Revocation
from services.delivery import metrics

_MAX_CACHED: Final = 10_000

Lookup = Callable[[str, str], Awaitable[Account]]
"""Asked with the address, and with the id of the client's session for the log."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where mail for one recipient goes. `folder` is INBOX where the named one is missing."""

    recipient: Address  # as the client gave it
    account: Account
    folder: FolderName = INBOX
    ignore_quota: bool = False


class Recipients:
    """Looks addresses up. One per worker; used from its loop only."""

    def __init__(
        self,
        lookup: Lookup,
        *,
        cache_seconds: float,
        separators: str = "+",
        folders: bool = False,
        disabled: str = "accept",
    ) -> None:
        self._lookup = lookup
        self._seconds = cache_seconds
        self._separators = separators
        self._folders = folders
        self._disabled = disabled
        self._known: dict[str, tuple[float, Account | MailError]] = {}
        self._asked: dict[str, asyncio.Task[Account | MailError]] = {}
        self._changes = 0  # that auth told of

    async def find(
        self, recipient: Address, *, ignore_quota: bool = False, session: str = ""
    ) -> Target:
        """Resolve one recipient, for the `session` of a client.

        Raises MailError: NO_SUCH_USER (certain), DISABLED (by setting), TEMPORARY (auth is down).
        """
        try:
            account, folder = await self._resolve(recipient, session)
        except MailError as fault:
            metrics.recipient_refused(fault)
            raise
        metrics.FOUND.inc()
        return Target(recipient, account, folder, ignore_quota)

    async def _resolve(self, recipient: Address, session: str) -> tuple[Account, FolderName]:
        folder = INBOX
        try:
            account = await self._account(str(recipient), session)
        except MailError as fault:
            base = recipient.without_detail(self._separators)
            if fault.kind is not ErrorKind.NO_SUCH_USER or base is recipient:
                raise
            account = await self._account(str(base), session)
            if self._folders:
                folder = _folder_of(recipient.detail(self._separators))
        if account.disabled and self._disabled != "accept":
            refused = self._disabled == "refuse"
            raise MailError(
                ErrorKind.DISABLED if refused else ErrorKind.TEMPORARY, "The account is disabled"
            )
        return account, folder

    def forget(self, revocation: Revocation) -> None:
        """Drop all answers: an account changed, or may have. Few are kept, and not for long."""
        self._changes += 1
        self._known.clear()
        self._asked.clear()

    def ask_ahead(self, recipients: list[Address], session: str = "") -> None:
        """Start to look up addresses that are going to be asked for, all at once."""
        if self._seconds:
            for address in recipients:
                key = str(address)
                if key not in self._asked and not self._fresh(key):
                    self._start(key, session)

    async def _account(self, key: str, session: str) -> Account:
        answer = self._fresh(key)
        if answer is not None:
            metrics.HIT.inc()
        else:
            asked = self._asked.get(key)
            if asked is not None:
                metrics.SHARED.inc()
            answer = await asyncio.shield(asked or self._start(key, session))
        if isinstance(answer, MailError):
            raise MailError(answer.kind, answer.text)
        return answer

    def _fresh(self, key: str) -> Account | MailError | None:
        if not self._seconds:
            return None
        known = self._known.get(key)
        if known is None or known[0] < asyncio.get_running_loop().time():
            return None
        return known[1]

    def _start(self, key: str, session: str) -> "asyncio.Task[Account | MailError]":
        metrics.MISS.inc()
        task = self._asked[key] = asyncio.get_running_loop().create_task(self._ask(key, session))
        return task

    async def _ask(self, key: str, session: str) -> Account | MailError:
        answer: Account | MailError
        changes = self._changes
        try:
            answer = await self._lookup(key, session)
        except MailError as fault:
            answer = fault
        finally:
            if self._asked.get(key) is asyncio.current_task():
                del self._asked[key]
        certain = isinstance(answer, Account) or answer.kind is ErrorKind.NO_SUCH_USER
        if certain and self._seconds and changes == self._changes:
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            self._known[key] = (asyncio.get_running_loop().time() + self._seconds, answer)
        return answer


def _folder_of(detail: str) -> FolderName:
    """The folder that a detail names, INBOX where it can name none."""
    try:
        return folder_name((detail,))
    except MailError:
        return INBOX
