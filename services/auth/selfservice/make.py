"""Makes the service Self of the settings, and ends its sessions with everything else."""

import asyncio
from collections.abc import Awaitable, Callable

from restante.model import MailError
from restante.rpc.revocation import Revocation
from restante.runtime.log import get_logger
from services.auth.audit import Audit
from services.auth.authenticator import Authenticator
from services.auth.database.engine import Database
from services.auth.factors.lazy_party import LazyParty
from services.auth.factors.sealing import Sealer
from services.auth.secret import service_secret
from services.auth.selfservice.parts import Parts
from services.auth.selfservice.servicer import SelfServicer
from services.auth.selfservice.sessions import Sessions
from services.auth.settings import AuthSettings

log = get_logger(__name__)


def make_self(
    settings: AuthSettings,
    authenticator: Authenticator,
    database: Database,
    audit: Audit,
    changed: Callable[[], Awaitable[None]],
) -> SelfServicer:
    """Return the service. Reads the service secret; raises MailError(CANNOT)."""
    secret = service_secret(settings)
    return SelfServicer(
        Parts(
            authenticator,
            database,
            Sessions(database, soft=settings.web_timeout_soft, hard=settings.web_timeout_hard),
            LazyParty(
                settings.passkey_domain, settings.factor_name, settings.passkey_origins, secret
            ),
            Sealer(secret, "totp"),
            Sealer(secret, "passkey login"),
            audit,
            changed,
            settings.factor_name,
        )
    )


class SessionEnder:
    """Ends sessions of webmail for revocations that stand in no journal (userdb's)."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._tasks: set[asyncio.Task[None]] = set()

    def published(self, revocation: Revocation, position: int) -> None:
        """Take what the hub publishes. The journal's own entries ended theirs already."""
        if position or not revocation.ends_sessions:
            return
        task = asyncio.get_running_loop().create_task(self._end(revocation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Let what is under way end."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _end(self, revocation: Revocation) -> None:
        try:
            await self._sessions.revoke(revocation)
        except MailError as error:
            address = revocation.address
            log.warning("webmail sessions did not end", address=address, reason=error.text)
