"""The POP3 service of one worker: its listeners, its store, its door to auth."""

from collections.abc import Callable
from typing import TypeVar

from restante.model import INBOX, Account
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.rpc.client import AuthClient, Revocation
from restante.runtime.connection import Peer
from restante.runtime.doors import Doors
from restante.runtime.worker import WorkerContext
from restante.store.account import AccountStore, MailStore
from restante.store.hints_engine import make_hints
from restante.store.identity import Identity
from restante.store.pool import StorePool
from restante.store.volume import VolumeCheck, Volumes
from restante.store.volume_probe import VolumeProbe
from services.pop3 import metrics
from services.pop3.connection import BUSY, Pop3Connection
from services.pop3.login_delay import LoginTimes
from services.pop3.maildrop import Maildrop
from services.pop3.settings import Pop3Settings

T = TypeVar("T")


class Pop3Service:
    """What a worker runs (restante.runtime.worker.Service), and the Backend of its sessions."""

    def __init__(self, context: WorkerContext[Pop3Settings], times: LoginTimes) -> None:
        self._context = context
        self._times = times
        self.settings = context.settings
        self.doors = Doors(metrics.CONNECTIONS)

    async def start(self) -> None:
        """Open store and auth, then listen. MailError if the volume or an address is not there."""
        context, settings = self._context, self.settings
        Volumes(settings.mail_root, settings.mail_volumes).check()
        context.need("mail volume", VolumeCheck([settings.mail_root]))
        self._pool = StorePool()
        hints = make_hints(settings.hints, settings.mail_root)
        self._store = MailStore(
            settings.mail_root, hints=hints, pool=self._pool, volumes=settings.mail_volumes
        )
        self._auth = AuthClient.by(settings)
        self._auth.watch(
            self._revoked, self.doors.connections, service="pop3", host=settings.hostname
        )
        context.need("auth", self._auth.check)
        await self.doors.open(
            settings,
            lambda listener: Pop3Connection(listener, self),
            tls=context.tls,
            limits=context.limits,
            busy=BUSY,
        )
        context.every_beat(lambda: metrics.measure(self.doors.connections()))
        context.every_beat(VolumeProbe((settings.mail_root, *settings.mail_volumes)).look)

    async def drain(self) -> None:
        """Turn away who has not logged in, let the others QUIT within drain_seconds, close."""
        await self.doors.drain(self.settings.drain_seconds)
        await self._store.close()
        await self._auth.close()

    # --- Backend of sessions ----------------------------------------------------------------------

    @property
    def tls_available(self) -> bool:
        """True where STLS can be offered."""
        return self._context.tls is not None

    async def log_in(self, attempt: LoginAttempt) -> Admitted:
        """Ask auth. Raises MailError(AUTH_FAILED | DISABLED | PERMISSION | TEMPORARY)."""
        return await self._auth.admit(attempt)

    async def scram_parameters(self, user: str, mechanism: str, peer: Peer) -> tuple[bytes, int]:
        """Ask auth. Raises MailError(AUTH_FAILED | TEMPORARY)."""
        return await self._auth.scram_parameters(
            user, mechanism=mechanism, service="pop3", peer=peer.address, session=peer.session
        )

    def early(self, account: Account) -> bool:
        """True where the account logged in less than LOGIN-DELAY seconds ago."""
        return self._times.early(account.address)

    async def open(self, account: Account) -> Maildrop:
        """Open the INBOX and take the snapshot, in one hop or none. Raises MailError."""
        store = self._store.open_account(account)
        mailbox = store.open_unmoved(INBOX)
        if mailbox is not None:
            return Maildrop(mailbox)
        return await self._pool.run_as(store.identity, self._open, store)

    async def blocking(self, call: Callable[[], T], identity: Identity | None = None) -> T:
        """Run file work in the pool, as the owner of a maildrop."""
        return await self._pool.run_as(identity, call)

    @staticmethod
    def _open(store: AccountStore) -> Maildrop:
        store.ensure()
        mailbox = store.open_mailbox(INBOX)
        try:
            mailbox.refresh()
            return Maildrop(mailbox)
        except BaseException:
            mailbox.release()
            raise

    def _revoked(self, revocation: Revocation) -> None:
        if revocation.ends_sessions:
            self.doors.end_sessions(revocation.address)
