"""Settings of the auth service: RESTANTE_AUTH_<NAME>."""

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BeforeValidator, Field

from restante.model import MailError, Options
from restante.runtime.settings import (
    AbsolutePath,
    CommaList,
    ListenAddress,
    ServiceSettings,
)
from services.auth.backends.sql import database_url
from services.auth.names import domain_name

MODULES: Final = ("sql", "userdb")


def _words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _known(modules: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.removeprefix("auth") for name in modules)
    unknown = [name for name in names if name not in MODULES]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(f"expected some of: {' '.join(MODULES)}, each once")
    return names


def _options(text: str) -> str:
    return str(Options.parse(text))


def _domain(text: str) -> str:
    try:
        return domain_name(text) if text else ""
    except MailError as error:
        raise ValueError(error.text) from None


def _url(text: str) -> str:
    database_url(text)
    return text


def _data(done: dict[str, Any], *names: str) -> Path:
    return Path(done["data"], *names)


class AuthSettings(ServiceSettings, env_prefix="RESTANTE_AUTH_"):
    """What the auth service reads from its environment."""

    max_workers: ClassVar[int | None] = 1  # one throttle and one cache see every login

    health_listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 9101), description="/livez, /readyz and /metrics over HTTP."
    )
    listen: ListenAddress = Field(
        default_factory=lambda done: ListenAddress(path=str(_data(done, "run", "auth.sock"))),
        description="gRPC for this machine: unix:PATH.",
    )
    tcp_listen: ListenAddress = Field(
        ListenAddress(),
        description="gRPC for other machines: host:port; TLS if a CA or key is set.",
    )
    grpc_certificate: AbsolutePath | None = Field(
        None, description="PEM certificate chain for gRPC over TCP; without it TCP is in clear."
    )
    grpc_key: AbsolutePath | None = Field(None, description="PEM key of grpc_certificate.")
    grpc_client_ca: AbsolutePath | None = Field(
        None, description="CA whose client certificates are asked for (mTLS) over TCP."
    )
    authdaemon_listen: ListenAddress = Field(
        ListenAddress(), description="authdaemond's protocol for exim and Courier's tools."
    )
    authdaemon_passwords: bool = Field(
        False, description="Send stored hashes (PASSWD) over authdaemond's protocol."
    )

    modules: Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_known)] = Field(
        ("sql",), description="Modules in the order they are asked: sql userdb."
    )
    sql_url: Annotated[str, AfterValidator(_url)] = Field(
        default_factory=lambda done: f"sqlite:///{_data(done, 'auth', 'accounts.sqlite')}",
        description="Accounts database: sqlite:///PATH (local disk) or postgresql://...",
    )
    sql_threads: int = Field(4, ge=1, le=64, description="Database connections at once.")
    userdb: AbsolutePath = Field(
        default_factory=lambda done: _data(done, "auth", "userdb"),
        description="userdb text file or directory of such files.",
    )
    default_domain: Annotated[str, AfterValidator(_domain)] = Field(
        "", description="Domain of logins without one."
    )
    fold_case: bool = Field(True, description="Local parts are the same in any case.")
    default_options: Annotated[str, AfterValidator(_options)] = Field(
        "", description="Options of every account that does not set them (DEFAULTOPTIONS)."
    )

    mail_uid: int = Field(
        default_factory=lambda _: os.geteuid(), ge=0, description="Owner of new accounts' mail."
    )
    mail_gid: int = Field(
        default_factory=lambda _: os.getegid(), ge=0, description="Group of new accounts' mail."
    )

    argon2_time: int = Field(2, ge=1, le=64, description="Passes of argon2id for new hashes.")
    argon2_memory_kib: int = Field(
        19456, ge=64, le=4 * 1024 * 1024, description="Memory of argon2id in KiB."
    )
    argon2_parallelism: int = Field(1, ge=1, le=16, description="Lanes of argon2id.")
    verify_threads: int = Field(
        0, ge=0, le=256, description="Threads that check passwords; 0 is one per CPU."
    )
    verify_queue: int = Field(
        256, ge=1, le=100_000, description="Checks at once; more are a temporary failure."
    )

    failure_seconds: float = Field(
        0.25, ge=0, le=4, description="A refused login is never answered faster."
    )
    throttle_base_seconds: float = Field(
        0.25, ge=0, le=60, description="Wait after the first failed login, doubled by each more."
    )
    throttle_cap_seconds: float = Field(
        15.0, ge=0, le=3600, description="Longest wait between failed logins."
    )
    throttle_patience_seconds: float = Field(
        3.0, ge=0, le=4, description="A login that would wait longer is refused as temporary."
    )
    throttle_forget_seconds: float = Field(
        900.0, ge=1, le=86400 * 7, description="Failures older than this are forgotten."
    )
    throttle_pairs: int = Field(
        65536, ge=16, le=10_000_000, description="Pairs of user and address remembered."
    )

    admin_certificates: CommaList = Field(
        (), description="Names of client certificates that may make admin calls."
    )
