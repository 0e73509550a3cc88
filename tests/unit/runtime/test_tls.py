"""TLS: STARTTLS drops what was buffered, implicit TLS, reload, versions, bad handshakes."""

import asyncio
import os
import socket
import ssl
from pathlib import Path

import pytest

from restante.cli.cert import make_certificate
from restante.model import MailError
from restante.runtime import tls as module
from restante.runtime.connection import Connection
from restante.runtime.limits import ConnectionLimits
from restante.runtime.tls import TlsContexts
from tests.unit.runtime.conftest import Serve, dial


def starttls_session(contexts: TlsContexts, seen: list[bytes]) -> "object":
    """Return a session that answers any first line with OK and does TLS, then echoes."""

    async def session(connection: Connection) -> None:
        seen.append(await connection.receive(30))
        connection.write(b"OK\r\n")
        await connection.start_tls(contexts.context())
        while data := await connection.receive(30):
            seen.append(data)
            connection.write(data)

    return session


async def test_starttls_drops_every_byte_before_the_handshake(
    serve: Serve, tls: TlsContexts, client_tls: ssl.SSLContext
) -> None:
    """CVE-2021-33515: commands that were injected in plain text are never run under TLS."""
    seen: list[bytes] = []

    async def session(connection: Connection) -> None:
        await connection.receive(30)
        # More arrives while the session is busy: it waits in the connection.
        while not connection._input:
            await asyncio.sleep(0.001)
        connection.write(b"OK\r\n")
        await connection.start_tls(tls.context())
        seen.append(await connection.receive(30))
        connection.write(b"done")

    listener = await serve(session)
    reader, writer = await dial(listener)
    writer.write(b"a STARTTLS\r\n")
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.write(b"b LOGIN evil evil\r\n")
    assert await reader.readexactly(4) == b"OK\r\n"
    await writer.start_tls(client_tls, server_hostname="localhost")
    writer.write(b"c NOOP\r\n")
    assert await reader.read() == b"done"
    assert seen == [b"c NOOP\r\n"]
    writer.close()


async def test_plain_text_after_the_reply_breaks_the_handshake(
    serve: Serve, tls: TlsContexts
) -> None:
    seen: list[bytes] = []
    listener = await serve(starttls_session(tls, seen))
    reader, writer = await dial(listener)
    writer.write(b"a STARTTLS\r\n")
    assert await reader.readexactly(4) == b"OK\r\n"
    writer.write(b"b LOGIN evil evil\r\n")
    rest = await reader.read()
    assert b"LOGIN" not in rest
    assert seen == [b"a STARTTLS\r\n"]
    async with asyncio.timeout(10):
        await listener._empty.wait()
    assert listener.limits.connections == 0
    assert listener.failures == 0
    writer.close()


async def test_starttls_then_echo(
    serve: Serve, tls: TlsContexts, client_tls: ssl.SSLContext
) -> None:
    payload = os.urandom(1_000_000)

    def client(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=20) as plain:
            plain.sendall(b"a STARTTLS\r\n")
            assert plain.recv(100) == b"OK\r\n"
            with client_tls.wrap_socket(plain, server_hostname="localhost") as sock:
                got = b""
                for start in range(0, len(payload), 50_000):
                    part = payload[start : start + 50_000]
                    sock.sendall(part)
                    while len(got) < start + len(part):
                        got += sock.recv(65536)
                return got

    listener = await serve(starttls_session(tls, []))
    assert await asyncio.to_thread(client, listener.address.target) == payload


async def test_client_that_leaves_in_the_handshake(serve: Serve, tls: TlsContexts) -> None:
    listener = await serve(starttls_session(tls, []))
    reader, writer = await dial(listener)
    writer.write(b"a STARTTLS\r\n")
    await reader.readexactly(4)
    writer.write(b"\x16\x03\x01")
    writer.close()
    async with asyncio.timeout(10):
        await listener._empty.wait()
    assert listener.limits.connections == 0
    assert listener.failures == 0


async def test_implicit_tls(serve: Serve, tls: TlsContexts, client_tls: ssl.SSLContext) -> None:
    async def session(connection: Connection) -> None:
        connection.write(f"{connection.peer.tls} {connection.peer.tls_info}\r\n".encode())
        connection.write((await connection.receive(30)) * 100_000)
        await connection.drain()

    listener = await serve(session, tls=tls, implicit_tls=True)
    reader, writer = await asyncio.open_connection(
        *listener.address.target, ssl=client_tls, server_hostname="localhost"
    )
    line = await reader.readline()
    assert line.startswith(b"True TLSv1.")
    writer.write(b"0123456789")
    assert await reader.read() == b"0123456789" * 100_000
    writer.close()


async def test_busy_is_said_under_tls(
    serve: Serve, tls: TlsContexts, client_tls: ssl.SSLContext
) -> None:
    async def session(connection: Connection) -> None:
        connection.write(b"hello")
        await connection.receive(30)

    listener = await serve(
        session,
        tls=tls,
        implicit_tls=True,
        limits=ConnectionLimits(per_address=1),
        busy=b"* BYE busy\r\n",
    )
    first, one = await asyncio.open_connection(
        *listener.address.target, ssl=client_tls, server_hostname="localhost"
    )
    assert await first.readexactly(5) == b"hello"
    second, two = await asyncio.open_connection(
        *listener.address.target, ssl=client_tls, server_hostname="localhost"
    )
    assert await second.read() == b"* BYE busy\r\n"
    for each in (one, two):
        each.close()


async def test_old_protocol_versions_are_refused(serve: Serve, tls: TlsContexts) -> None:
    async def session(connection: Connection) -> None:
        connection.write(b"never")

    listener = await serve(session, tls=tls, implicit_tls=True)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(*listener.address.target, ssl=old)


def test_certificate_is_loaded_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.0)
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    make_certificate(certificate, key, ["one.example.test"])
    contexts = TlsContexts(certificate, key)
    first = contexts.context()
    assert contexts.context() is first
    make_certificate(certificate, key, ["two.example.test"])
    second = contexts.context()
    assert second is not first
    # Half a change: the old context stays until the pair fits again.
    certificate.write_text("-----BEGIN CERTIFICATE-----\nhalf")
    assert contexts.context() is second
    key.unlink()
    assert contexts.context() is second
    make_certificate(certificate, key, ["three.example.test"])
    assert contexts.context() not in (first, second)


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    with pytest.raises(MailError, match=r"c\.pem: No such file"):
        TlsContexts(certificate, key)
    make_certificate(certificate, key, ["a"])
    make_certificate(tmp_path / "other.pem", key, ["b"])
    with pytest.raises(MailError, match=r"cannot load .*c\.pem and its key"):
        TlsContexts(certificate, key)


def test_one_combined_file_as_courier_had(tmp_path: Path) -> None:
    both = tmp_path / "imapd.pem"
    make_certificate(both, both, ["a"])
    assert both.stat().st_mode & 0o777 == 0o600
    assert TlsContexts(both, both).context()
