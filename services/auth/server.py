"""The auth service as one object: modules, password checks, and its doors.

Two doors for gRPC: a unix socket (0660, in a directory that only we and our group enter) and TCP,
with TLS where a certificate is set, and mTLS where a CA for clients is. Both serve Auth, Admin,
health and reflection; Admin asks for a token or a named certificate at either. A third door, off
by default, speaks authdaemond's protocol.
"""

import os
import socket
from pathlib import Path

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from restante.model import ErrorKind, MailError, Options
from restante.rpc.admin.v1 import admin_pb2
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.revocation import Reason
from restante.rpc.self.v1 import self_pb2, self_pb2_grpc
from restante.runtime.address import ListenAddress
from restante.runtime.limits import ConnectionLimits
from restante.runtime.listener import Listener
from restante.runtime.log import get_logger
from services.auth import authdaemon
from services.auth.admin.administration import Administration
from services.auth.admin.tools import Tools
from services.auth.audit import Audit, Kind
from services.auth.authenticator import Authenticator
from services.auth.backends.base import ModuleContext
from services.auth.backends.chain import Chain
from services.auth.backends.sql import SqlBackend
from services.auth.calls import Calls
from services.auth.changes import Changes
from services.auth.database import journal
from services.auth.database.engine import Database, database_url
from services.auth.factors.security import Factors
from services.auth.grpc_tls import GrpcCertificates
from services.auth.hub import Hub
from services.auth.login_debug import LoginDebug
from services.auth.mechanisms.table import MoreMechanisms
from services.auth.modules import make_module
from services.auth.names import NameRules
from services.auth.passwords.policy import PasswordPolicy
from services.auth.passwords.upgrade import HashUpgrades
from services.auth.passwords.verifier import Verifier
from services.auth.selfservice.make import SessionEnder, make_self
from services.auth.servicer import AuthServicer
from services.auth.sessions import SessionReports
from services.auth.settings import AuthSettings
from services.auth.throttle.known import KnownPlaces
from services.auth.throttle.make import make_throttle
from services.auth.traced import Traced

log = get_logger(__name__)

_NAMES = (
    auth_pb2.DESCRIPTOR.services_by_name["Auth"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["Admin"].full_name,
    self_pb2.DESCRIPTOR.services_by_name["Self"].full_name,
)
CONNECTION_AGE = 300_000  # ms after which a client is asked to connect, and so to look, again
_OPTIONS = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_connection_age_ms", CONNECTION_AGE),
    ("grpc.http2.max_ping_strikes", 0),  # clients find out by pings whether we live
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", 256 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class AuthServer:
    """Made and used inside one event loop."""

    def __init__(self, settings: AuthSettings, limits: ConnectionLimits | None = None) -> None:
        """Reads no file and binds nothing yet. `limits` are those of the authdaemon door."""
        self.settings = settings
        self._limits = limits or ConnectionLimits()
        self.rules = NameRules(settings.default_domain, settings.fold_case)
        self.verifier = Verifier(
            time_cost=settings.argon2_time,
            memory_kib=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
            threads=settings.verify_threads,
            queue=settings.verify_queue,
        )
        self.database = Database(
            database_url(settings.sql_url),
            replicas=[database_url(url) for url in settings.sql_read_urls],
            limits=settings.sql_limits(),
        )
        self.known_places = KnownPlaces(self.database)
        self.throttle = make_throttle(settings, self.known_places)
        context = ModuleContext(self.rules, self.database)
        modules = [make_module(name, settings, context) for name in settings.modules]
        self.chain = Chain(modules, Options.parse(settings.default_options))
        self.hub = Hub()
        self.sessions = SessionReports(self.hub, self.database, web_idle=settings.web_timeout_soft)
        self.changes = Changes(self.database, modules, self.hub, self.sessions)
        self.audit = Audit(
            self.database,
            kinds=[Kind(name) for name in settings.audit_table],
            days=settings.audit_days,
            file=settings.audit_file,
        )
        self.factors = Factors(self.database)
        self.policy = PasswordPolicy(
            min_length=settings.password_min_length,
            min_score=settings.password_min_score,
            common=settings.password_common,
            administrators=settings.password_policy_for_admins,
        )
        self.upgrades = HashUpgrades(self.verifier) if settings.upgrade_hashes else None
        self.mechanisms = MoreMechanisms(
            settings,
            self.chain,
            self.rules,
            factors=self.factors,
            database=self.database,
            verifier=self.verifier,
        )
        self.authenticator = Authenticator(
            self.chain,
            self.rules,
            self.verifier,
            self.throttle,
            self.factors,
            failure_floor=settings.failure_seconds,
            password_changed=self._password_changed,
            policy=self.policy,
            upgrades=self.upgrades,
            audit=self.audit,
            debug=LoginDebug(enabled=settings.debug_login),
            more=self.mechanisms,
        )
        self.admin: Administration | None = None
        self.tcp_port = 0
        self._health = health.aio.HealthServicer()
        self._server: aio.Server | None = None
        self._ender: SessionEnder | None = None
        self.authdaemon: Listener | None = None

    async def start(self) -> None:
        """Open the modules and serve. Raises MailError(CANNOT) where a door cannot be opened.

        A module that is down does not stop the service: its logins are temporary failures.
        """
        try:
            await self.database.open()
        except MailError as error:
            log.warning("our database cannot be opened yet", error=error.text)
        try:
            await self.chain.open()
        except MailError as error:
            log.warning("a module of accounts cannot be opened yet", error=error.text)
        self.audit.start()
        self.changes.start()
        self.admin = self._admin()
        server = self._server = aio.server(
            options=_OPTIONS, interceptors=(Calls(), self.admin.guard, Traced())
        )
        servicer = AuthServicer(self.authenticator, self.hub, self.changes.replay, self.sessions)
        auth_pb2_grpc.add_AuthServicer_to_server(servicer, server)
        self.admin.serve(server)
        owner = make_self(
            self.settings, self.authenticator, self.database, self.audit, self.changes.catch_up
        )
        self_pb2_grpc.add_SelfServicer_to_server(owner, server)
        self._ender = SessionEnder(owner.parts.sessions)
        self.hub.listeners.append(self._ender.published)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            (*_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        if self.settings.listen:
            self._bind(server, self.settings.listen, None)
        if self.settings.tcp_listen:
            credentials = self._credentials()
            if credentials is None and self.settings.tcp_listen.host not in _LOOPBACK:
                log.warning("passwords cross the network in clear: set RESTANTE_AUTH_GRPC_KEY")
            self.tcp_port = self._bind(server, self.settings.tcp_listen, credentials)
        await self.admin.start()
        await server.start()
        if self.settings.authdaemon_listen:
            self.authdaemon = await authdaemon.serve(
                self.settings.authdaemon_listen,
                self.authenticator,
                send_hashes=self.settings.authdaemon_passwords,
                limits=self._limits,
                tls=self.settings.authdaemon_tls(),
            )
        for name in ("", *_NAMES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float) -> None:
        """Let calls end within `grace` seconds, then close everything."""
        await self._health.enter_graceful_shutdown()
        self.hub.close()  # streams do not end by themselves
        if self.authdaemon is not None:
            await self.authdaemon.drain(grace)
        if self._server is not None:
            await self._server.stop(grace)
        if self.admin is not None:
            await self.admin.stop(grace)
        await self.changes.stop()
        if self._ender is not None:
            await self._ender.close()
        await self.sessions.close()
        if self.upgrades is not None:
            await self.upgrades.close()
        self.policy.close()
        await self.mechanisms.close()
        self.verifier.close()
        await self.throttle.close()
        await self.known_places.close()
        await self.factors.close()
        await self.chain.close()
        await self.audit.stop()
        await self.database.close()

    async def _password_changed(self, address: str, keep_session: str) -> None:
        """Tell all who watch, whatever module the account is of."""
        await self.database.run(
            lambda c: journal.record(c, address, Reason.PASSWORD, keep_session=keep_session),
            write=True,
        )
        await self.changes.catch_up()

    def _admin(self) -> Administration:
        tools = Tools(
            self.authenticator,
            self.database,
            self.rules,
            self.verifier,
            self.policy,
            self.audit,
            self.sessions,
            next((m for m in self.chain.modules if isinstance(m, SqlBackend)), None),
            self.settings.mail_uid,
            self.settings.mail_gid,
        )
        return Administration(self.settings, tools, self.changes.catch_up)

    def _bind(
        self,
        server: aio.Server,
        address: ListenAddress,
        credentials: grpc.ServerCredentials | None,
    ) -> int:
        host = f"[{address.host}]" if ":" in address.host else address.host.replace("*", "[::]")
        target = f"unix:{address.path}" if address.is_unix else f"{host}:{address.port}"
        if address.is_unix:
            try:
                Path(address.path).parent.mkdir(mode=0o770, parents=True, exist_ok=True)
            except OSError as error:
                raise MailError(ErrorKind.CANNOT, f"cannot listen on {address}") from error
            _check_unused(address)
        before = os.umask(0o117)  # of the socket, not of its directory
        try:
            if credentials is None:
                return server.add_insecure_port(target)
            return server.add_secure_port(target, credentials)
        except (RuntimeError, OSError) as error:
            raise MailError(ErrorKind.CANNOT, f"cannot listen on {address}") from error
        finally:
            os.umask(before)

    def _credentials(self) -> grpc.ServerCredentials | None:
        settings = self.settings
        if settings.grpc_certificate is None or settings.grpc_key is None:
            if settings.grpc_client_ca is not None:
                raise MailError(
                    ErrorKind.CANNOT, "RESTANTE_AUTH_GRPC_CLIENT_CA needs a certificate and key"
                )
            return None
        files = settings.grpc_certificate, settings.grpc_key, settings.grpc_client_ca
        return GrpcCertificates(*files).credentials()


def _check_unused(address: ListenAddress) -> None:
    """Raise MailError(CANNOT) where somebody answers there: gRPC would take the socket away."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address.path)
        except OSError:
            return
    raise MailError(ErrorKind.CANNOT, f"cannot listen on {address}: it is already in use")
