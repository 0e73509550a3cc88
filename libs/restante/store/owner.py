"""Whose an account's mail is: acting as him, and what the operator is told where that fails."""

import logging
import os
from types import TracebackType
from typing import Final

from restante.model import Account, ErrorKind, MailError
from restante.store.identity import Identity, acting, identity_of, missing_capabilities

_MAX_TOLD: Final = 10_000  # accounts
_log: Final = logging.getLogger(__name__)


class Complaints:
    """What is wrong with an account's mail is told once, by the process. Any thread."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, account: Account, text: str) -> None:
        """Log it."""
        if account.address in self._told or len(self._told) >= _MAX_TOLD:
            return
        self._told.add(account.address)
        whose = (account.address, account.uid, account.gid, account.maildir)
        _log.warning("mail of %s (uid %d, gid %d, %s): %s", *whose, text)


class MailOwner:
    """Of one account's mail. `identity` is None where that is the process itself."""

    def __init__(self, account: Account, complaints: Complaints) -> None:
        self._account, self._complaints = account, complaints
        self.identity: Identity | None = None
        self.served = True  # False: nobody may touch the mail here
        try:
            self.identity = identity_of(account.uid, account.gid)
        except MailError as error:
            self.served = False
            complaints.tell(account, error.text)

    def acting(self) -> acting:
        """Act as the owner inside (identity.py). MailError(TEMPORARY) where we may not."""
        if not self.served:
            raise MailError(ErrorKind.TEMPORARY, "this mailbox cannot be served here")
        return _ActingFor(self)

    def refused(self, error: MailError) -> None:
        """Say to the operator that the kernel does not let us act as the owner."""
        self._complaints.tell(self._account, error.text)

    def denied(self, error: OSError) -> None:
        """Say to the operator that the file system does not let us in, and what that means."""
        account, reason = self._account, error.strerror
        if self.identity is not None:
            text = f"its owner is not let in ({reason}); he must pass every directory on the way"
            self._complaints.tell(account, text)
        elif account.uid != os.geteuid():
            missing = " and ".join(missing_capabilities()) or "no capability"
            text = f"uid {os.geteuid()} is not let in there ({reason}); missing: {missing}"
            self._complaints.tell(account, text)


class _ActingFor(acting):
    """`acting` for an owner, who hears of the file system's refusals."""

    __slots__ = ("_owner",)

    def __init__(self, owner: MailOwner) -> None:
        super().__init__(owner.identity)
        self._owner = owner

    def __enter__(self) -> None:
        try:
            super().__enter__()
        except MailError as error:
            self._owner.refused(error)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        if error is not None:
            cause = error.__cause__ if isinstance(error, MailError) else error
            if isinstance(cause, PermissionError):
                self._owner.denied(cause)
