"""How the account commands find the auth service."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from restante.cli import output
from restante.rpc.admin_client import AdminClient, read_token
from restante.rpc.channel import ClientTls
from restante.runtime import environment, runfile


@contextmanager
def admin() -> Iterator[AdminClient]:
    """Give a client of the running system; errors become one line and an exit code."""
    with output.errors(), connect() as client:
        yield client


def connect() -> AdminClient:
    """Return a client of the running system, to be closed. Raises MailError.

    The target is RESTANTE_AUTH_TARGET, else what the auth service says in its run file, else
    the usual socket.
    """
    run_dir = environment.run_dir()
    return AdminClient(_target(run_dir), read_token(run_dir), tls=_tls())


@contextmanager
def open_target() -> Iterator[AdminClient]:
    """Give a client for what needs no token: look-ups and the list of accounts."""
    with AdminClient(_target(environment.run_dir()), "", tls=_tls()) as client:
        yield client


def _target(run_dir: Path) -> str:
    given = os.environ.get("RESTANTE_AUTH_TARGET")
    if given:
        return given
    run = runfile.read(run_dir, "auth")
    return (run.endpoints.get("listen") if run else None) or f"unix:{run_dir}/auth.sock"


def _tls() -> ClientTls | None:
    ca = os.environ.get("RESTANTE_AUTH_CLIENT_CA")
    if not ca:
        return None
    certificate = os.environ.get("RESTANTE_AUTH_CLIENT_CERTIFICATE")
    key = os.environ.get("RESTANTE_AUTH_CLIENT_KEY")
    return ClientTls(
        Path(ca), Path(certificate) if certificate else None, Path(key) if key else None
    )
