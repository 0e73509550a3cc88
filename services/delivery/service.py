"""The delivery service of one worker: both hooks, one store, one door to auth."""

import asyncio
import ssl

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from restante.runtime.http import HttpServer
from restante.runtime.listener import Listener, listen
from restante.runtime.tls import TlsContexts
from restante.runtime.worker import WorkerContext
from restante.store.account import MailStore
from restante.store.hints_engine import make_hints
from restante.store.pool import StorePool
from restante.store.volume import VolumeCheck, Volumes
from restante.store.volume_probe import VolumeProbe
from services.delivery import metrics
from services.delivery.deliver import Depot
from services.delivery.http import create_app
from services.delivery.ledger import KeyLedger
from services.delivery.lmtp import Backend
from services.delivery.lmtp_connection import BUSY, LmtpConnection
from services.delivery.recipients import Recipients
from services.delivery.settings import DeliverySettings


class DeliveryService:
    """What a worker runs (restante.runtime.worker.Service)."""

    def __init__(self, context: WorkerContext[DeliverySettings], token: str) -> None:
        self._context = context
        self._settings = context.settings
        self._token = token
        self._listener: Listener | None = None
        self._http: HttpServer | None = None

    async def start(self) -> None:
        """Open store and auth, then listen. MailError if the volume or an address is not there."""
        context, settings = self._context, self._settings
        Volumes(settings.mail_root, settings.mail_volumes).check()
        context.need("mail volume", VolumeCheck([settings.mail_root]))
        pool = StorePool()
        hints = make_hints(settings.hints, settings.mail_root)
        self._store = MailStore(
            settings.mail_root, hints=hints, pool=pool, volumes=settings.mail_volumes
        )
        self._auth = AuthClient.by(settings, verdict_seconds=0)
        context.every_beat(VolumeProbe((settings.mail_root, *settings.mail_volumes)).look)
        recipients = Recipients(
            self._auth.lookup,
            cache_seconds=settings.lookup_cache,
            separators=settings.subaddress_separators,
            folders=settings.subaddress_folders,
            disabled=settings.disabled_accounts,
        )
        self._auth.watch(recipients.forget)
        context.need("auth", self._auth.check)
        backend = Backend(
            settings,
            Depot(
                self._store,
                pool,
                settings.hostname,
                settings.max_message_size,
                settings.bare_newlines == "refuse",
            ),
            recipients,
            tls_available=context.tls is not None,
        )
        if settings.lmtp_listen:
            self._listener = await listen(
                settings.lmtp_listen,
                lambda listener: LmtpConnection(listener, backend),
                tls=context.tls,
                limits=context.limits,
                proxy_protocol_from=settings.proxy_protocol_from,
                busy=BUSY,
            )
            metrics.CONNECTIONS.follow(self._listener, lambda one: len(one.connections))
        if settings.http_listen:
            app = create_app(backend, self._token, KeyLedger(settings.mail_root))
            self._http = HttpServer(
                app,
                settings.http_listen,
                drain_seconds=settings.drain_seconds,
                max_connections=settings.max_connections,
                tls=self._http_tls(),
            )
            await self._http.start()

    def _http_tls(self) -> ssl.SSLContext | None:
        """Return the TLS of the HTTP hook, None for clear text. Raises MailError(CANNOT)."""
        settings = self._settings
        certificate, key = settings.http_certificate, settings.http_key
        if (certificate is None) != (key is None):
            text = "RESTANTE_DELIVERY_HTTP_CERTIFICATE and _HTTP_KEY are needed together"
            raise MailError(ErrorKind.CANNOT, text)
        if certificate is not None and key is not None:
            return TlsContexts(certificate, key).lasting()
        if not settings.http_tls:
            return None
        if self._context.tls is None:
            text = "RESTANTE_DELIVERY_HTTP_TLS needs RESTANTE_TLS_CERTIFICATE and _KEY"
            raise MailError(ErrorKind.CANNOT, text)
        return self._context.tls.lasting()

    async def drain(self) -> None:
        """Let transactions and requests under way end within drain_seconds, then close."""
        ending = []
        if self._listener is not None:
            ending.append(self._listener.drain(self._settings.drain_seconds))
        if self._http is not None:
            ending.append(self._http.drain())
        await asyncio.gather(*ending)
        await self._store.close()
        await self._auth.close()
