"""The servers that transcripts are played against."""

from collections.abc import Callable, Iterator

import pytest

from tests.services.imap.server import Server, make_certificate
from tests.services.imap.wire import Wire
from tests.transcripts.imap import dovecot

Connect = Callable[[str], Wire]
"""Log in as a user who is made by the first call."""


@pytest.fixture(scope="session")
def restante(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    """Return connections to our service in this process."""
    base = tmp_path_factory.mktemp("restante")
    server = Server(base, make_certificate(tmp_path_factory.mktemp("tls")))

    def connect(user: str) -> Wire:
        address = f"{user}@example.test"
        if address not in server.accounts.known:
            server.accounts.add(address, quota="10000000S")
        return server.login(address)

    yield connect
    server.stop()


@pytest.fixture(scope="session")
def oracle() -> Iterator[Connect]:
    """Return connections to Dovecot."""
    reason = dovecot.why_not()
    if reason:
        pytest.skip(reason)
    server = dovecot.Dovecot()

    def connect(user: str) -> Wire:
        wire = Wire(("127.0.0.1", server.port))
        wire.ok(f"LOGIN {user} {dovecot.PASSWORD}")
        return wire

    yield connect
    server.stop()
