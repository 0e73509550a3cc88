"""Settings from the environment: RESTANTE_<NAME>, RESTANTE_<SERVICE>_<NAME>, and *_FILE.

Rules, for every service alike:
- A field of CommonSettings is read from RESTANTE_<NAME>; RESTANTE_<SERVICE>_<NAME> wins, so that
  one service can differ. Any other field is read from RESTANTE_<SERVICE>_<NAME> alone.
- <VARIABLE>_FILE names a file whose content, without its final newline, is the value (secrets).
- An empty value means "not set", except for an address or a list, where it means "none".
- Lists are comma separated.
- Unknown variables are ignored, since Kubernetes puts RESTANTE_IMAP_PORT and the like into the
  environment of every container beside a service of that name.
"""

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from restante.runtime.address import ListenAddress
from restante.runtime.cpus import usable_cpus

__all__ = [
    "CommaList",
    "CommonSettings",
    "ListenAddress",
    "Networks",
    "ServiceSettings",
    "load",
    "variables",
]

EX_CONFIG = 78  # sysexits.h: what a process exits with when its settings are wrong

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(filter(None, (piece.strip() for piece in value.split(","))))
    return value


def _networks(value: object) -> object:
    pieces = _split(value)
    if isinstance(pieces, tuple | list):
        return tuple(
            ipaddress.ip_network(p, strict=False) if isinstance(p, str) else p for p in pieces
        )
    return pieces


def _paths(value: object) -> object:
    pieces = _split(value)
    if isinstance(pieces, tuple | list):
        return tuple(_absolute(piece) for piece in pieces)
    return pieces


def _absolute(value: object) -> object:
    return Path(os.path.abspath(os.path.expanduser(str(value)))) if value is not None else None


SASL_MECHANISMS: Final = (
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "CRAM-SHA1",
    "CRAM-SHA256",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "EXTERNAL",
    "OAUTHBEARER",
    "XOAUTH2",
)
"""The names that sasl_mechanisms may have: those of restante.wire.sasl, which a test compares."""


def _mechanisms(value: object) -> object:
    names = value.upper().replace(",", " ").split() if isinstance(value, str) else value
    if isinstance(names, list | tuple):
        unknown = [name for name in names if name not in SASL_MECHANISMS]
        if unknown:
            raise ValueError(f"expected some of: {' '.join(SASL_MECHANISMS)}")
        return tuple(dict.fromkeys(names))
    return names


CommaList = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A setting such as "a,b,c"."""
Networks = Annotated[tuple[IPNetwork, ...], BeforeValidator(_networks)]
"""A setting such as "10.0.0.0/8,::1"."""
PathList = Annotated[tuple[Path, ...], BeforeValidator(_paths)]
"""A setting such as "/srv/one,/srv/two"."""
AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
"""A path; relative ones are taken from the working directory at start."""


def _workers() -> int:
    return min(64, usable_cpus())


class CommonSettings(BaseSettings):
    """What every service and the command line share."""

    model_config = SettingsConfigDict(
        env_prefix="RESTANTE_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data: AbsolutePath = Field(
        default_factory=lambda: Path("var").absolute(),
        description="Directory of all local state (0700).",
    )
    mail_root: AbsolutePath = Field(
        default_factory=lambda done: done["data"] / "mail", description="Root of the mail volume."
    )
    mail_volumes: PathList = Field(
        default=(),
        description="Further mail volumes, each with a mark of its own (`restante volume init"
        " PATH`); an account's home says on which its mail lies.",
    )
    workers: int = Field(
        default_factory=_workers, ge=1, le=64, description="Worker processes per service."
    )
    hints: str = Field(
        default="inotify",
        description="How processes tell each other of changes: inotify or redis://...",
    )
    tls_certificate: AbsolutePath = Field(
        default_factory=lambda done: done["data"] / "tls" / "cert.pem",
        description="PEM certificate chain; read again when the file changes.",
    )
    tls_key: AbsolutePath = Field(
        default_factory=lambda done: done["data"] / "tls" / "key.pem",
        description="PEM private key of the certificate.",
    )
    tls_sni: AbsolutePath | None = Field(
        default=None,
        description="Directory of further certificates, a folder for each name that clients ask"
        " for (SNI): NAME/tls.crt and tls.key, or fullchain.pem and privkey.pem.",
    )
    tls_client_ca: AbsolutePath | None = Field(
        default=None,
        description="PEM CAs whose client certificates are asked for, not demanded, in IMAP and"
        " POP3 (SASL EXTERNAL).",
    )
    sasl_mechanisms: Annotated[tuple[str, ...], BeforeValidator(_mechanisms)] = Field(
        default=("PLAIN", "LOGIN"),
        description="What IMAP and POP3 offer, best first; without PLAIN and LOGIN no password is"
        f" taken in any command: {' '.join(SASL_MECHANISMS)}.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="Lines for people or one JSON object per line."
    )
    otlp_endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description="Base URL of an OpenTelemetry collector (OTLP over HTTP, such as"
        " http://collector:4318) that gets traces; else OTEL_EXPORTER_OTLP_ENDPOINT; needs the"
        " extra otel.",
    )
    otlp_share: float = Field(
        default=0.1, ge=0, le=1, description="Share of traces that are kept, 0 to 1."
    )
    hostname: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,253}$",
        description="Name in greetings, Received and file names.",
    )
    auth_target: str = Field(
        default_factory=lambda done: f"unix:{done['data']}/run/auth.sock",
        description="gRPC target of the auth service: unix:PATH or host:port.",
    )
    auth_client_ca: AbsolutePath | None = Field(
        default=None, description="CA of the auth service; set, calls to it use TLS."
    )
    auth_client_certificate: AbsolutePath | None = Field(
        default=None, description="Client certificate for the auth service (mTLS)."
    )
    auth_client_key: AbsolutePath | None = Field(
        default=None, description="Key of the client certificate."
    )
    verdict_seconds: float = Field(
        default=300.0,
        ge=0,
        le=3600,
        description="Time that a service answers a right password without asking auth; 0 is off.",
    )
    admin_token: SecretStr | None = Field(
        default=None,
        description="Token of account administration; by default auth makes run/admin.token.",
    )
    drain_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Time that sessions get to end when a service stops.",
    )
    proxy_protocol_from: Networks = Field(
        default=(),
        description="Networks whose connections start with a PROXY protocol header (v1, v2).",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values given in code, then the environment by this module's rules; nothing else."""
        return init_settings, _Environment(settings_cls)

    @property
    def run_dir(self) -> Path:
        """Directory of sockets, tokens and run files."""
        return self.data / "run"


class ServiceSettings(CommonSettings):
    """Base of a service's settings.

    A service writes `class ImapSettings(ServiceSettings, env_prefix="RESTANTE_IMAP_")`, sets its
    own default of health_listen, and max_workers where one process must do all.
    """

    max_workers: ClassVar[int | None] = None

    health_listen: ListenAddress = Field(
        default=ListenAddress(), description="/livez, /readyz and /metrics over HTTP."
    )
    max_connections: int = Field(
        default=20_000, ge=1, le=1_000_000, description="Connections at once, all workers together."
    )
    max_connections_per_address: int = Field(
        default=500,
        ge=1,
        le=65_000,
        description="Connections at once from one IPv4 address or IPv6 /64.",
    )
    max_connections_per_user: int = Field(
        default=60, ge=1, le=65_000, description="Sessions at once of one account."
    )

    @property
    def worker_count(self) -> int:
        """Processes to start: `workers`, bounded by max_workers."""
        return min(self.workers, self.max_workers or self.workers)

    @property
    def listeners(self) -> dict[str, ListenAddress]:
        """The addresses that are switched on, by field name; health_listen is not among them."""
        found = {
            name: getattr(self, name)
            for name, info in type(self).model_fields.items()
            if info.annotation is ListenAddress and name != "health_listen"
        }
        return {name: address for name, address in found.items() if address}


S = TypeVar("S", bound=CommonSettings)


def variables(cls: type[CommonSettings], field: str) -> tuple[str, ...]:
    """Return the environment variables of a field, the one that wins first."""
    prefix = cls.model_config.get("env_prefix") or "RESTANTE_"
    own = prefix + field.upper()
    common = "RESTANTE_" + field.upper()
    return (own, common) if field in CommonSettings.model_fields and own != common else (own,)


def load(cls: type[S]) -> S:
    """Read the settings. A wrong value: one line on stderr, SystemExit(78)."""
    try:
        return cls()
    except ValidationError as error:
        faults = [
            _fault(cls, dict(item))
            for item in error.errors()
            # A default that is made of another setting only says that the other one is wrong.
            if item["type"] != "default_factory_not_called"
        ]
    except _UnreadableError as error:
        faults = [str(error)]
    sys.stderr.write(f"restante: wrong settings: {'; '.join(faults)}\n")
    sys.stderr.flush()
    raise SystemExit(EX_CONFIG)


def _fault(cls: type[CommonSettings], item: dict[str, Any]) -> str:
    field = str(item["loc"][0]) if item["loc"] else ""
    text = str(item["msg"]).removeprefix("Value error, ")
    if field not in cls.model_fields:
        return text
    variable, value = next(_given(cls, field), (variables(cls, field)[0], ""))
    secret = "Secret" in str(cls.model_fields[field].annotation) or variable.endswith("_FILE")
    shown = "" if secret else f"{value[:80]!r}: "
    return f"{variable}: {shown}{text[:1].lower()}{text[1:]}"


class _UnreadableError(Exception):
    """A *_FILE that cannot be read, or two ways of saying one thing."""


def _given(cls: type[CommonSettings], field: str) -> Iterator[tuple[str, str]]:
    """Yield (variable, its text) of what the environment says of a field, the winner first."""
    for variable in variables(cls, field):
        if variable in os.environ:
            yield variable, os.environ[variable]
        if variable + "_FILE" in os.environ:
            yield variable + "_FILE", os.environ[variable + "_FILE"]


class _Environment(PydanticBaseSettingsSource):
    """The rules of this module as a source of pydantic-settings."""

    settings_cls: type[CommonSettings]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return (text or None, variable, False); called by pydantic-settings."""
        empty_counts = field.annotation is ListenAddress or "tuple" in str(field.annotation)
        for variable in variables(self.settings_cls, field_name):
            value = os.environ.get(variable)
            path = os.environ.get(variable + "_FILE")
            if value and path:
                raise _UnreadableError(f"{variable} and {variable}_FILE are both set")
            if path:
                return _read(variable + "_FILE", path), variable, False
            if value or (value is not None and empty_counts):
                return value, variable, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return what the environment sets."""
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            value, _, _ = self.get_field_value(field, name)
            if value is not None:
                found[name] = value
        return found


def _read(variable: str, path: str) -> str:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise _UnreadableError(f"{variable}: cannot read {path!r}: {reason}") from None
    return text.removesuffix("\n").removesuffix("\r")
