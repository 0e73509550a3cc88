"""Client certificates: asked for, not demanded; whose name counts; and what a certificate binds."""

import asyncio
import datetime
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from restante.model import MailError
from restante.runtime import tls as module
from restante.runtime.connection import Connection
from restante.runtime.tls import TlsContexts, end_point
from tests.support.certificates import Authority
from tests.unit.runtime.conftest import Serve

Files = tuple[Path, Path]
Name = Callable[[Files | None], Awaitable[str]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
async def name(serve: Serve, certificate: Files, authority: Authority, tmp_path: Path) -> Name:
    """Connect with a certificate, and return the name that the service sees."""
    contexts = TlsContexts(*certificate, authority.certificate)

    async def session(connection: Connection) -> None:
        connection.write(f"<{connection.peer.certificate}>\r\n".encode())

    listener = await serve(session, tls=contexts, implicit_tls=True)

    async def connect(files: Files | None) -> str:
        context = ssl.create_default_context(cafile=str(certificate[0]))
        if files is not None:
            context.load_cert_chain(*files)
        reader, writer = await asyncio.open_connection(
            *listener.address.target, ssl=context, server_hostname="localhost"
        )
        try:
            line = await asyncio.wait_for(reader.readline(), 20)
        finally:
            writer.close()
        return line.decode().strip()[1:-1]

    return connect


async def test_whose_name_counts(name: Name, authority: Authority) -> None:
    assert await name(None) == ""
    assert await name(authority.issue_client("Fred Fish")) == "Fred Fish"
    assert (
        await name(authority.issue_client("Fred Fish", "fred@example.test")) == "fred@example.test"
    )
    assert await name(authority.issue_client("x", "a@x.test", "b@x.test")) == "a@x.test"


async def test_a_certificate_of_somebody_else_fails_the_handshake(
    name: Name, tmp_path: Path
) -> None:
    evil = Authority(tmp_path / "evil")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        assert await name(evil.issue_client("Fred", "fred@example.test")) == "never"


async def test_without_a_ca_nothing_is_asked(
    serve: Serve, certificate: Files, authority: Authority
) -> None:
    contexts = TlsContexts(*certificate)
    assert contexts.context().verify_mode is ssl.CERT_NONE

    async def session(connection: Connection) -> None:
        connection.write(f"<{connection.peer.certificate}>\r\n".encode())

    listener = await serve(session, tls=contexts, implicit_tls=True)
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.load_cert_chain(*authority.issue_client("Fred"))
    reader, writer = await asyncio.open_connection(
        *listener.address.target, ssl=context, server_hostname="localhost"
    )
    assert await reader.readline() == b"<>\r\n"
    writer.close()


def test_the_ca_is_read_again(
    certificate: Files, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY", 0)
    contexts = TlsContexts(*certificate, authority.certificate)
    first = contexts.context()
    other = Authority(tmp_path / "other")
    other.certificate.replace(authority.certificate)
    assert contexts.context() is not first


def test_a_ca_that_cannot_be_loaded(certificate: Files, tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(MailError, match=r"ca\.pem"):
        TlsContexts(*certificate, nonsense)
    with pytest.raises(MailError, match=r"missing\.pem"):
        TlsContexts(*certificate, tmp_path / "missing.pem")


def signed(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, algorithm)
    )


def test_end_points() -> None:
    """RFC 5929 section 4.1: by the hash of the signature."""
    for algorithm in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
        made = signed(ec.generate_private_key(ec.SECP256R1()), algorithm)
        der = made.public_bytes(serialization.Encoding.DER)
        pem = made.public_bytes(serialization.Encoding.PEM)
        other = signed(ec.generate_private_key(ec.SECP256R1()), algorithm)
        chain = pem + other.public_bytes(serialization.Encoding.PEM)
        assert end_point(chain) == hashlib.new(algorithm.name, der).digest()
    made = signed(ed25519.Ed25519PrivateKey.generate(), None)
    assert end_point(made.public_bytes(serialization.Encoding.PEM)) == b""
    with pytest.raises(ValueError, match=r"."):
        end_point(b"no certificate")
