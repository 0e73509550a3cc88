"""What operations work with, and what they share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from restante.model import ErrorKind, MailError
from services.auth.admin.roles import Caller
from services.auth.audit import Audit
from services.auth.authenticator import Authenticator
from services.auth.backends.sql import SqlBackend
from services.auth.database.engine import Database
from services.auth.names import NameRules
from services.auth.passwords.policy import PasswordPolicy
from services.auth.passwords.verifier import Verifier
from services.auth.sessions import SessionReports

Operation = Callable[[Caller, Any], Awaitable[Any]]
"""A method of Admin without its door: (caller, request) -> response. Raises MailError."""

_PAGE: Final = 100
MAX_PAGE: Final = 1000
_LONGEST: Final = 500  # characters of a text to search for


@dataclass(frozen=True, slots=True)
class Tools:
    """The auth service as administration sees it."""

    authenticator: Authenticator
    database: Database
    rules: NameRules
    verifier: Verifier
    policy: PasswordPolicy
    audit: Audit
    sessions: SessionReports
    sql: SqlBackend | None  # None where RESTANTE_AUTH_MODULES lacks it
    uid: int  # of accounts that name none
    gid: int

    @property
    def accounts(self) -> SqlBackend:
        """The module whose accounts are administrated. Raises MailError(CANNOT)."""
        if self.sql is None:
            text = "there are no accounts to administrate (RESTANTE_AUTH_MODULES lacks sql)"
            raise MailError(ErrorKind.CANNOT, text)
        return self.sql

    def need_accounts(self) -> None:
        """Raise MailError(CANNOT) where there are no accounts to administrate."""
        _ = self.accounts

    async def existing(self, address: str) -> str:
        """Return the canonical address of an account of any module.

        Raises MailError(BAD_REQUEST | NO_SUCH_USER | TEMPORARY).
        """
        canonical = self.rules.parse(address).address
        await self.authenticator.lookup(canonical)
        return canonical


def page(size: int, token: str) -> tuple[int, str | None]:
    """Return (rows of a page, behind which one) of a request."""
    check_text(token, "page_token")
    return min(size or _PAGE, MAX_PAGE), token or None


def check_text(text: str, name: str) -> None:
    """Raise MailError(BAD_REQUEST) for what no database should be asked for."""
    if len(text) > _LONGEST or "\0" in text:
        raise MailError(ErrorKind.BAD_REQUEST, f"{name} is not one of ours")


def masked(message: object, mask: FieldMask, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields that the mask names. Raises MailError(BAD_REQUEST) for others."""
    wrong = [path for path in mask.paths if path not in allowed]
    if wrong or not mask.paths:
        raise MailError(
            ErrorKind.BAD_REQUEST, f"update_mask names one or more of {', '.join(allowed)}"
        )
    return {path: getattr(message, path) for path in mask.paths}


def moment(seconds: int) -> Timestamp | None:
    """Return a time of a table; None for 0, never."""
    return Timestamp(seconds=seconds) if seconds else None
