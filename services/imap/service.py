"""The IMAP service of one worker: its listeners, its store, its door to auth."""

from restante.rpc.client import AuthClient, Revocation
from restante.runtime.doors import Doors
from restante.runtime.worker import WorkerContext
from restante.store.account import MailStore
from restante.store.hints_engine import make_hints
from restante.store.pool import StorePool
from restante.store.volume import VolumeCheck, Volumes
from restante.store.volume_probe import VolumeProbe
from services.imap import metrics
from services.imap.backend import Authenticator, Backend, names_of
from services.imap.connection import BUSY, ImapConnection
from services.imap.settings import ImapSettings


class ImapService:
    """What a worker runs (restante.runtime.worker.Service)."""

    def __init__(
        self, context: WorkerContext[ImapSettings], *, auth: Authenticator | None = None
    ) -> None:
        """`auth`: in place of the auth service of the settings."""
        self._context = context
        self._settings = context.settings
        self._auth = auth
        self._client: AuthClient | None = None
        self.doors = Doors(metrics.CONNECTIONS)

    async def start(self) -> None:
        """Open store and auth, then listen. MailError if the volume or an address is not there."""
        context, settings = self._context, self._settings
        Volumes(settings.mail_root, settings.mail_volumes).check()
        context.need("mail volume", VolumeCheck([settings.mail_root]))
        self._pool = StorePool()
        self._store = MailStore(
            settings.mail_root,
            hints=make_hints(settings.hints, settings.mail_root),
            pool=self._pool,
            volumes=settings.mail_volumes,
        )
        auth = self._auth
        if auth is None:
            auth = self._client = AuthClient.by(settings)
            self._client.watch(
                self._revoked, self.doors.connections, service="imap", host=settings.hostname
            )
            context.need("auth", self._client.check)
        self._backend = backend = Backend(
            settings, auth, self._store, self._pool, names_of(settings)
        )
        await self.doors.open(
            settings,
            lambda listener: ImapConnection(listener, backend),
            tls=context.tls,
            limits=context.limits,
            busy=BUSY,
        )
        context.every_beat(lambda: metrics.measure(self.doors.connections()))
        context.every_beat(VolumeProbe((settings.mail_root, *settings.mail_volumes)).look)

    async def drain(self) -> None:
        """Say BYE to every session, at the latest within drain_seconds, and close the store."""
        await self.doors.drain(self._settings.drain_seconds)
        await self._backend.settle()
        await self._store.close()
        if self._client is not None:
            await self._client.close()

    def _revoked(self, revocation: Revocation) -> None:
        if revocation.ends_sessions:
            self.doors.end_sessions(revocation.address)
