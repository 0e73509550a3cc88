"""The whole system in containers, by testcontainers: two replicas of everything that may have two.

All services run as they would in production: as their own user, on a read-only root, without any
capability, with secrets by file, gRPC over mTLS, PostgreSQL and Redis; every replica on one mail
volume. Each port is published at a free port of 127.0.0.1 that stays the same over restarts.
"""

import contextlib
import http.client
import os
import random
import shutil
import smtplib
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import docker.errors
from docker.types import EndpointConfig, IPAMConfig, IPAMPool
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from restante.model import ErrorKind, MailError
from restante.rpc.admin_client import AdminClient
from restante.rpc.channel import ClientTls
from tests.e2e import engine, images, secrets
from tests.e2e.node import Node
from tests.support.process import ROOT

PASSWORD: Final = "correct horse battery staple"
DOMAIN: Final = "example.test"
REPLICAS: Final = {
    "auth": 2,
    "delivery": 2,
    "imap": 2,
    "pop3": 2,
    "webmail": 1,
    "exim": 1,
    "balancer": 1,
}
PORTS: Final[dict[str, tuple[int, ...]]] = {
    "auth": (50051, 9101),
    "delivery": (2424, 8025, 9102),
    "pop3": (1110, 1995, 9103),
    "imap": (1143, 1993, 9104),
    "webmail": (8080, 9105),
}
EXIM_PORTS: Final = (25, 465, 587)
BALANCER_PORTS: Final = (1110, 1995, 1143, 1993, 8443)
HEALTH: Final = {"auth": 9101, "delivery": 9102, "pop3": 9103, "imap": 9104, "webmail": 9105}
# Hashes that cost next to nothing, so that the load is on what is tested.
_SETTINGS: Final = {
    "RESTANTE_WORKERS": "1",
    "RESTANTE_HINTS_FILE": "/run/secrets/redis.url",
    "RESTANTE_TLS_CERTIFICATE": "/run/tls/tls.crt",
    "RESTANTE_TLS_KEY": "/run/tls/tls.key",
    "RESTANTE_AUTH_TARGET": "auth:50051",
    "RESTANTE_AUTH_CLIENT_CA": "/run/rpc/ca.crt",
    "RESTANTE_AUTH_CLIENT_CERTIFICATE": "/run/rpc/client.crt",
    "RESTANTE_AUTH_CLIENT_KEY": "/run/rpc/client.key",
    "RESTANTE_DELIVERY_HTTP_TOKEN_FILE": "/run/secrets/delivery.token",
    "RESTANTE_DRAIN_SECONDS": "3",
}
_AUTH_SETTINGS: Final = {
    "RESTANTE_ADMIN_TOKEN_FILE": "/run/secrets/admin.token",
    "RESTANTE_AUTH_SECRET_FILE": "/run/secrets/auth.secret",
    "RESTANTE_AUTH_SQL_URL_FILE": "/run/secrets/sql.url",
    "RESTANTE_AUTH_THROTTLE_REDIS_FILE": "/run/secrets/redis.url",
    "RESTANTE_AUTH_GRPC_CERTIFICATE": "/run/rpc/auth.crt",
    "RESTANTE_AUTH_GRPC_KEY": "/run/rpc/auth.key",
    "RESTANTE_AUTH_GRPC_CLIENT_CA": "/run/rpc/ca.crt",
    "RESTANTE_AUTH_AUTHDAEMON_LISTEN": "*:50053",
    "RESTANTE_AUTH_ARGON2_TIME": "1",
    "RESTANTE_AUTH_ARGON2_MEMORY_KIB": "64",
    "RESTANTE_AUTH_FAILURE_SECONDS": "0",
    "RESTANTE_AUTH_PASSWORD_MIN_SCORE": "0",
}
# One client sends more than any should; ports below 1024 need no capability.
_EXIM_SETTINGS: Final = {
    "EXIM_HOSTNAME": "mx.example.test",
    "EXIM_RATE_CLIENT": "1000000/1m",
    "EXIM_RATE_USER": "1000000/1h",
    "EXIM_MAX_PER_CLIENT": "100",
}
ALIASES: Final = f"""\
postmaster@{DOMAIN}: fred@{DOMAIN}
info@{DOMAIN}: fred@{DOMAIN}, ann@{DOMAIN}
away@{DOMAIN}: somebody@outside.test
*@catch.test: fred@{DOMAIN}
"""
# The rest of the world, for which we are outside: takes everything for its domain into one file.
_OUTSIDE: Final = f"""\
primary_hostname = mx.outside.test
exim_user = Debian-exim
exim_group = Debian-exim
deliver_drop_privilege
tls_advertise_hosts =
log_file_path = /var/spool/exim4/%slog
acl_smtp_rcpt = take
domainlist ours = outside.test
begin acl
take:
  deny  message = 550 5.1.1 nobody of that name
        domains = +ours
        local_parts = nobody
  accept
begin routers
here:
  driver = accept
  domains = +ours
  transport = box
there:
  driver = manualroute
  domains = {DOMAIN} : catch.test
  route_data = exim
  transport = smtp
begin transports
box:
  driver = appendfile
  directory = /var/spool/exim4/box
  maildir_format
  create_directory
  envelope_to_add
  return_path_add
smtp:
  driver = smtp
  hosts_try_chunking =
begin retry
* * F,1h,2s
"""
_HARDENED: Final[dict[str, Any]] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}


class StartError(Exception):
    """A stack did not get ready; the text holds the logs."""


def free_port() -> int:
    """Return a port below the ephemeral ones, which no outgoing connection can take."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def wait_until(what: str, done: Callable[[], bool], seconds: float = 60) -> float:
    """Ask again and again; return the seconds that it took. AssertionError when time is up."""
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {what}"
        threading.Event().wait(0.05)
    return time.monotonic() - begun


def ready(port: int) -> bool:
    """Return whether a service's health port says that it is ready."""
    url = f"http://127.0.0.1:{port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except (OSError, http.client.HTTPException):
        return False


def greets(port: int) -> bool:
    """Return whether an SMTP server answers 220 and not only the engine's proxy."""
    try:
        with smtplib.SMTP("127.0.0.1", port, "outside.test", timeout=5):
            return True
    except (OSError, smtplib.SMTPException):
        return False


class Stack:
    """The system; `replicas` may take services away, `settings` add to every service's."""

    def __init__(
        self,
        *,
        replicas: Mapping[str, int] = REPLICAS,
        settings: Mapping[str, str] | None = None,
        mail: Mapping[str, str] | None = None,
    ) -> None:
        """`mail` are options of the mail volume's driver, {"device": PATH, "o": "bind"}."""
        self.folder = Path(tempfile.mkdtemp(prefix="restante-e2e-"))
        self.files = secrets.make(self.folder, ("localhost", "127.0.0.1", "mail.example.test"))
        self.name = f"{engine.PROJECT_PREFIX}{engine.OWNER}-{random.randrange(10**6):06d}"
        self.nodes: dict[str, Node] = {}
        self._replicas, self._settings, self._mail = replicas, dict(settings or {}), mail
        # As in compose.yaml: the balancer alone has .2, and is believed whom it speaks for.
        self._net = f"10.{random.randrange(64, 128)}.{random.randrange(256)}"
        pool = IPAMPool(f"{self._net}.0/24", f"{self._net}.128/25", f"{self._net}.1")
        network = {"labels": engine.LABELS, "ipam": IPAMConfig(pool_configs=[pool])}
        self._network = Network(docker_network_kw=network)
        self._containers: list[DockerContainer] = []
        self._volume: Any = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start everything and wait until it is ready. Raises StartError."""
        self._network.create()
        options = {"driver_opts": dict(self._mail)} if self._mail else {}
        self._volume = engine.client().volumes.create(
            f"{self.name}-mail", labels=engine.LABELS, **options
        )
        self._start_others()
        self._make_volume()
        for service, count in self._replicas.items():
            for number in range(1, count + 1):
                if service == "exim":
                    self.start_exim()
                elif service == "balancer":
                    self.start_balancer()
                else:
                    self.start_service(service, number)
        self.wait_ready()
        return self

    def stop(self) -> None:
        """Remove everything, the newest first; with RESTANTE_E2E_KEEP nothing."""
        if os.environ.get(engine.KEEP):
            return
        for container in reversed(self._containers):
            with contextlib.suppress(docker.errors.NotFound):
                container.stop()
        with contextlib.suppress(docker.errors.NotFound, AssertionError):
            self._network.remove()
        if self._volume is not None:
            self._volume.remove(force=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- pieces -----------------------------------------------------------------------------

    def run_node(
        self,
        name: str,
        image: str,
        command: list[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        volumes: Mapping[str, tuple[str, str]] | None = None,
        ports: tuple[int, ...] = (),
        aliases: tuple[str, ...] = (),
        **options: Any,
    ) -> Node:
        """Start a container of this stack; volumes are {path or name: (inside, "ro" or "rw")}."""
        container = DockerContainer(image, env=dict(env or {}), name=f"{self.name}-{name}")
        for outside, (inside, mode) in (volumes or {}).items():
            container.with_volume_mapping(outside, inside, mode)
        published: Any = {f"{port}/tcp": ("127.0.0.1", free_port()) for port in ports}
        container.ports = published
        container.tmpfs = {"/tmp": "mode=1777"} | options.pop("tmpfs", {})
        if command is not None:
            container.with_command(command)
        container.with_network(self._network).with_network_aliases(name, *aliases)
        container.with_kwargs(
            labels=engine.LABELS,
            hostname=name,
            restart_policy={"Name": "unless-stopped"},
            **(_HARDENED | options),
        )
        self._containers.append(container)
        container.start()
        wrapped = container.get_wrapped_container()
        wrapped.reload()
        self.nodes[name] = Node(name, wrapped)
        return self.nodes[name]

    def start_service(
        self, service: str, number: int, *, env: Mapping[str, str] | None = None
    ) -> Node:
        """Start one replica of one of the five services, without waiting."""
        folders = {str(self.files.secrets): ("/run/secrets", "ro")}
        folders[str(self.files.tls)] = ("/run/tls", "ro")
        folders[str(self.files.rpc)] = ("/run/rpc", "ro")
        folders[self._volume.name] = ("/srv/mail", "rw")
        own = dict(_AUTH_SETTINGS) if service == "auth" else {}
        if service in ("imap", "pop3"):
            own[f"RESTANTE_{service.upper()}_PROXY_PROTOCOL_FROM"] = f"{self._net}.2/32"
        return self.run_node(
            f"{service}-{number}",
            images.restante(),
            [service],
            env={**_SETTINGS, **own, **self._settings, **(env or {})},
            volumes=folders,
            ports=PORTS[service],
            aliases=(service,),
            tmpfs={"/var/lib/restante": "uid=5000,gid=5000,mode=0700"},
            healthcheck={"test": ["NONE"]},  # we ask the health port ourselves
        )

    def start_balancer(self) -> None:
        """Start the balancer of compose.yaml."""
        whole = (self.files.tls / "tls.crt").read_text() + (self.files.tls / "tls.key").read_text()
        tls = self.folder / "balancer"
        tls.mkdir()
        (tls / "tls.crt").write_text(whole)
        settings = ROOT / "deploy/compose/haproxy.cfg"
        address = EndpointConfig(
            engine.client().api._version, aliases=["balancer"], ipv4_address=f"{self._net}.2"
        )
        self.run_node(
            "balancer",
            images.third_party(images.HAPROXY),
            env={"HTTPS_PORT": "443"},
            volumes={
                str(settings): ("/usr/local/etc/haproxy/haproxy.cfg", "ro"),
                str(tls): ("/run/tls", "ro"),
            },
            ports=BALANCER_PORTS,
            networking_config={self._network.name: address},
            healthcheck={"test": ["NONE"]},
        )

    def start_exim(self) -> None:
        """Start exim, and a second one that is the outside world."""
        settings = self.folder / "exim"
        settings.mkdir()
        (settings / "aliases").write_text(ALIASES)
        (settings / "domains").write_text(f"{DOMAIN}\ncatch.test\n")
        (settings / "routes").write_text("outside.test: outside\n")
        (settings / "outside.conf").write_text(_OUTSIDE)
        common: dict[str, Any] = {
            "ports": EXIM_PORTS,
            "tmpfs": {"/run/restante-exim": "uid=5000,gid=5000,mode=0750"},
            "healthcheck": {"test": ["NONE"]},
            "sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"},
        }
        folders = {
            str(settings): ("/etc/restante-exim", "ro"),
            str(self.files.tls): ("/run/tls", "ro"),
            str(self.files.rpc): ("/run/rpc", "ro"),
        }
        self.run_node("exim", images.exim(), env=_EXIM_SETTINGS, volumes=folders, **common)
        outside = ["--", "exim4", "-C", "/etc/restante-exim/outside.conf", "-bdf", "-q2s"]
        self.run_node(
            "outside", images.exim(), outside, volumes=folders, entrypoint=["tini"], **common
        )

    def _start_others(self) -> None:
        kept = {str(self.files.secrets): ("/run/secrets", "ro")}
        self.run_node(
            "postgres",
            images.third_party(images.POSTGRES),
            env={
                "POSTGRES_USER": "restante",
                "POSTGRES_DB": "restante",
                "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres.password",
                "PGDATA": "/var/lib/postgresql/data/pgdata",
            },
            volumes=kept,
            user="999:999",
            tmpfs={"/var/run/postgresql": "uid=999,gid=999"},  # its data outlives a restart
        )
        self.run_node(
            "redis",
            images.third_party(images.REDIS),
            ["redis-server", "/run/secrets/redis.conf"],
            volumes=kept,
            user="999:999",
            tmpfs={"/data": "uid=999,gid=999"},
        )
        postgres = self.nodes["postgres"]
        wait_until(
            "PostgreSQL answers",
            lambda: bool(
                postgres.run("pg_isready", "-h", "127.0.0.1", check=False).count(b"accepting")
            ),
        )

    def _make_volume(self) -> None:
        """Mark the mail volume, in a container that stays: a tmpfs lives as long as one uses it."""
        keeper = self.run_node(
            "volume",
            images.restante(),
            ["infinity"],
            entrypoint=["sleep"],
            volumes={self._volume.name: ("/srv/mail", "rw")},
            healthcheck={"test": ["NONE"]},
        )
        keeper.run("restante", "volume", "init")

    def wait_ready(self, seconds: float = 90) -> None:
        """Wait until all services are ready. Raises StartError."""
        for node in self.services():
            try:
                wait_until(
                    f"{node.name} is ready",
                    lambda node=node: ready(node.port(HEALTH[node.service])),  # type: ignore[misc]  # bound now
                    seconds,
                )
            except AssertionError as error:
                raise StartError(f"{error}:\n{node.log(50)}") from None
        for name in ("exim", "outside"):
            if name in self.nodes:
                node = self.nodes[name]
                try:
                    wait_until(f"{name} greets", lambda node=node: greets(node.port(25)), seconds)  # type: ignore[misc]  # bound now
                except AssertionError as error:
                    raise StartError(f"{error}:\n{node.log(50)}") from None

    # --- use --------------------------------------------------------------------------------

    def services(self) -> list[Node]:
        """Return the containers of our own services."""
        return [node for node in self.nodes.values() if node.service in HEALTH]

    def address(self, service: str, port: int, number: int = 1) -> tuple[str, int]:
        """Return where a port of a replica is published."""
        return "127.0.0.1", self.nodes[f"{service}-{number}"].port(port)

    def admin(self, number: int = 1) -> AdminClient:
        """Return a client of account administration, over mTLS."""
        rpc = self.files.rpc
        tls = ClientTls(rpc / "ca.crt", rpc / "client.crt", rpc / "client.key")
        host, port = self.address("auth", 50051, number)
        return AdminClient(f"{host}:{port}", self.files.admin_token, tls=tls)

    def add_domain(self, name: str) -> None:
        """Create a domain where it is new."""
        with self.admin() as admin:
            try:
                admin.create_domain(name)
            except MailError as error:
                if error.kind is not ErrorKind.ALREADY_EXISTS:
                    raise

    def add_account(self, address: str, *, quota: str = "", options: str = "") -> None:
        """Create an account where it is new, and its domain."""
        self.add_domain(address.rpartition("@")[2])
        with self.admin() as admin:
            try:
                admin.create_account(address, PASSWORD, quota=quota, options=options)
            except MailError as error:
                if error.kind is not ErrorKind.ALREADY_EXISTS:
                    raise
