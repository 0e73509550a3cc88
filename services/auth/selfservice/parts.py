"""What the pieces of this package share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from restante.model import Account, ErrorKind, MailError
from services.auth.audit import Audit
from services.auth.authenticator import Authenticator
from services.auth.backends.asked import for_service
from services.auth.database.engine import Database
from services.auth.factors.lazy_party import LazyParty
from services.auth.factors.sealing import Sealer
from services.auth.mechanisms.base import Attempt
from services.auth.selfservice.sessions import ENDED, Session, Sessions

SERVICE: Final = "webmail"


@dataclass(frozen=True, slots=True)
class Parts:
    """Made once by the server."""

    authenticator: Authenticator
    database: Database
    sessions: Sessions
    party: LazyParty
    totp_seal: Sealer
    state_seal: Sealer  # of passkey logins that nobody has begun a session for
    audit: Audit
    changed: Callable[[], Awaitable[None]]  # awaited after every entry in the journal
    factor_name: str  # what authenticator apps call us

    async def account(self, address: str) -> Account:
        """Return an account that may use webmail now.

        Raises MailError(AUTH_FAILED | DISABLED | TEMPORARY).
        """
        try:
            with for_service(SERVICE):
                account = await self.authenticator.lookup(address)
        except MailError as error:
            if error.kind is ErrorKind.NO_SUCH_USER:
                raise MailError(ErrorKind.AUTH_FAILED, ENDED) from None
            raise
        if account.disabled:
            raise MailError(ErrorKind.DISABLED, "account is disabled")
        check_webmail(account)
        return account

    async def check_password(self, session: Session, password: bytes) -> None:
        """Check the owner's main password once more. Raises as `Authenticator.authenticate`."""
        admission = await self.authenticator.authenticate(main_password(session, password))
        if admission.actor or admission.account.address != session.address:
            raise MailError(ErrorKind.AUTH_FAILED, "authentication failed")
        await self.sessions.confirm(session)

    def note(
        self, action: str, session: Session, *, peer: str = "", result: str = "ok", detail: str = ""
    ) -> None:
        """Write an audit record about a session's account."""
        self.audit.record(
            action=action,
            actor=f"master {session.actor}" if session.actor else "owner",
            address=session.address,
            service=SERVICE,
            peer=peer or session.peer,
            result=result,
            detail=detail,
        )


def main_password(session: Session, password: bytes) -> Attempt:
    """Return the attempt of somebody who is in, with his main password."""
    return Attempt(
        session.address, password, SERVICE, session.peer, tls=True, second_factor_follows=True
    )


def check_webmail(account: Account) -> None:
    """Raise MailError(DISABLED) where the account has no webmail (Courier's disablewebmail)."""
    if account.options.enabled("disablewebmail"):
        raise MailError(ErrorKind.DISABLED, "Webmail access disabled for this account.")
