"""authdaemond's protocol over TCP: in clear with a warning, with TLS, with client certificates."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError
from restante.runtime.settings import ListenAddress
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving
from tests.support.certificates import Authority

REQUEST = b"PRE . smtp fred@example.test\n"


def settings_of(data: Path, **changes: Any) -> Any:
    listen = ListenAddress("127.0.0.1", 0)
    return make_settings(data, **{"authdaemon_listen": listen, **changes})


async def ask(
    server: AuthServer, trust: Authority | None, client: tuple[Path, Path] | None = None
) -> bytes:
    assert server.authdaemon is not None
    context = None
    if trust is not None:
        context = ssl.create_default_context(cafile=str(trust.certificate))
        if client is not None:
            context.load_cert_chain(*client)
    reader, writer = await asyncio.open_connection(*server.authdaemon.address.target, ssl=context)
    writer.write(REQUEST)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


async def test_a_certificate_of_its_own(data: Path, authority: Authority) -> None:
    certificate, key = authority.issue("127.0.0.1")
    settings = settings_of(data, authdaemon_certificate=certificate, authdaemon_key=key)
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        assert (await ask(server, authority)).endswith(b"\n.\n")
        assert await ask(server, None) == b""


async def test_that_of_grpc_and_its_clients(data: Path, authority: Authority) -> None:
    certificate, key = authority.issue("127.0.0.1")
    settings = settings_of(
        data, grpc_certificate=certificate, grpc_key=key, grpc_client_ca=authority.certificate
    )
    other = Authority(data / "other", "another CA")
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        assert await ask(server, authority) == b""
        answer = await ask(server, authority, authority.issue_client("exim"))
        assert answer.endswith(b"\n.\n")
        answer = b""
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            answer = await ask(server, authority, other.issue_client("exim"))
        assert answer == b""


async def test_a_unix_socket_stays_in_clear(data: Path, authority: Authority) -> None:
    certificate, key = authority.issue("127.0.0.1")
    listen = ListenAddress(path=str(data / "socket"))
    settings = settings_of(
        data, authdaemon_listen=listen, grpc_certificate=certificate, grpc_key=key
    )
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        reader, writer = await asyncio.open_unix_connection(listen.path)
        writer.write(REQUEST)
        assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"\n.\n")
        writer.close()


async def test_no_hashes_over_tcp(data: Path, authority: Authority) -> None:
    certificate, key = authority.issue("127.0.0.1")
    settings = settings_of(data, authdaemon_certificate=certificate, authdaemon_key=key)
    async with serving(settings) as server:
        await add_account(server, "fred@example.test", stored="$1$abc$def")
        assert b"PASSWD" not in await ask(server, authority)


@pytest.mark.parametrize(("host", "warned"), [("*", True), ("127.0.0.1", False)])
async def test_the_log_tells_of_passwords_in_clear(
    data: Path, capfd: pytest.CaptureFixture[str], host: str, warned: bool
) -> None:
    async with serving(settings_of(data, authdaemon_listen=ListenAddress(host, 0))):
        pass
    assert ("RESTANTE_AUTH_AUTHDAEMON_KEY" in "".join(capfd.readouterr())) == warned


@pytest.mark.parametrize("missing", ["authdaemon_key", "authdaemon_certificate"])
def test_half_a_pair_is_refused(data: Path, authority: Authority, missing: str) -> None:
    certificate, key = authority.issue("127.0.0.1")
    pair = {"authdaemon_certificate": certificate, "authdaemon_key": key}
    del pair[missing]
    with pytest.raises(MailError, match="needed together") as raised:
        settings_of(data, **pair).authdaemon_tls()
    assert raised.value.kind is ErrorKind.CANNOT


def test_a_client_ca_alone_is_refused(data: Path, authority: Authority) -> None:
    settings = settings_of(data, authdaemon_client_ca=authority.certificate)
    with pytest.raises(MailError, match="needs a certificate and key"):
        settings.authdaemon_tls()
