"""gRPC over TCP: in clear, with TLS, with client certificates; who may administrate by which."""

import asyncio
import datetime
import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from restante.model import ErrorKind, MailError
from restante.rpc import client as client_module
from restante.rpc.client import AdminClient, AuthClient, ClientTls
from restante.rpc.revocation import Revocation
from restante.runtime.settings import ListenAddress
from services.auth import grpc_tls
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving

Key = ec.EllipticCurvePrivateKey


class Authority:
    """A small CA that writes PEM files."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = self._write(name, self._sign(self._name, self._key, ca=True))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return (certificate, key) files of a new certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._write(name, self._sign(subject, key, ca=False))
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file = self._folder / f"{name}.key"
        file.write_bytes(pem)
        return certificate, file

    def _sign(self, subject: x509.Name, key: Key, *, ca: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [
                        x509.DNSName("auth.internal"),
                        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                    ]
                ),
                critical=False,
            )
        )
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        file = self._folder / f"{name}.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return file


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


def tcp(data: Path, **changes: Any) -> Any:
    return make_settings(data, tcp_listen=ListenAddress("127.0.0.1", 0), **changes)


async def lookup(server: AuthServer, tls: ClientTls | None) -> str:
    client = AuthClient(f"127.0.0.1:{server.tcp_port}", tls=tls, deadline=2)
    try:
        return (await client.lookup("fred@example.test")).address
    except MailError as error:
        return error.kind.value
    finally:
        await client.close()


async def domains(server: AuthServer, tls: ClientTls, token: str) -> str:
    def use() -> str:
        with AdminClient(f"127.0.0.1:{server.tcp_port}", token, tls=tls, deadline=2) as client:
            return ",".join(domain.name for domain in client.domains())

    try:
        return await asyncio.to_thread(use)
    except MailError as error:
        return error.kind.value


async def test_tcp_in_clear(data: Path) -> None:
    async with serving(tcp(data)) as server:
        await add_account(server, "fred@example.test")
        assert await lookup(server, None) == "fred@example.test"


async def test_tls(data: Path, authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("server")
    settings = tcp(data, grpc_certificate=certificate, grpc_key=key)
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        assert await lookup(server, ClientTls(authority.file)) == "fred@example.test"
        assert await lookup(server, None) == "temporary"
        stranger = Authority(tmp_path, "stranger")
        assert await lookup(server, ClientTls(stranger.file)) == "temporary"


async def test_client_certificates(data: Path, authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("server")
    settings = tcp(
        data,
        grpc_certificate=certificate,
        grpc_key=key,
        grpc_client_ca=authority.file,
        admin_certificates=("operator",),
    )
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        imap = ClientTls(authority.file, *authority.issue("imap"))
        operator = ClientTls(authority.file, *authority.issue("operator"))
        forged = ClientTls(authority.file, *Authority(tmp_path, "forger").issue("operator"))
        assert await lookup(server, imap) == "fred@example.test"
        assert await lookup(server, ClientTls(authority.file)) == "temporary"
        assert await lookup(server, forged) == "temporary"
        # A certificate alone is not an administrator's; its name must be in the setting.
        assert await domains(server, operator, "no token") == "example.test"
        assert await domains(server, imap, "no token") == "permission"
        assert await domains(server, forged, "no token") == "temporary"


async def test_a_half_set_up_is_refused(data: Path, authority: Authority) -> None:
    for changes in (
        {"grpc_client_ca": authority.file},
        {"grpc_certificate": data / "none.pem", "grpc_key": data / "none.key"},
    ):
        with pytest.raises(MailError) as caught:
            async with serving(tcp(data, **changes)):
                pass
        assert caught.value.kind is ErrorKind.CANNOT


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await found():
            await asyncio.sleep(0.05)


async def test_the_certificate_of_grpc_is_renewed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New connections get the new one, open ones stay; a broken pair changes nothing."""
    monkeypatch.setattr(grpc_tls, "_LOOK_EVERY", 0.0)
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    files = tmp_path / "served.pem", tmp_path / "served.key"

    def show(authority: Authority) -> None:
        for source, target in zip(authority.issue("auth"), files, strict=True):
            fresh = target.with_suffix(".new")
            fresh.write_bytes(source.read_bytes())
            fresh.replace(target)

    show(old)
    settings = tcp(data, grpc_certificate=files[0], grpc_key=files[1])
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        target = f"127.0.0.1:{server.tcp_port}"
        first = AuthClient(target, tls=ClientTls(old.file), deadline=5)
        assert (await first.lookup("fred@example.test")).address == "fred@example.test"
        files[1].write_text("nonsense")
        assert await lookup(server, ClientTls(old.file)) == "fred@example.test"
        show(new)
        assert await lookup(server, ClientTls(new.file)) == "fred@example.test"
        assert await lookup(server, ClientTls(old.file)) == "temporary"
        assert (await first.lookup("fred@example.test")).address == "fred@example.test"
        await first.close()


async def test_a_client_follows_its_files(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CA, certificate and key of a service change; calls and the Watch stream go on."""
    monkeypatch.setattr(grpc_tls, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(client_module, "LOOK_EVERY", 0.02)
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    served = tmp_path / "served.pem", tmp_path / "served.key", tmp_path / "served.ca"
    held = tmp_path / "held.pem", tmp_path / "held.key", tmp_path / "held.ca"

    def put(sources: tuple[Path, ...], targets: tuple[Path, ...]) -> None:
        for source, target in zip(sources, targets, strict=True):
            fresh = target.with_suffix(".new")
            fresh.write_bytes(source.read_bytes())
            fresh.replace(target)

    put((*old.issue("auth"), old.file), served)
    put((*old.issue("imap"), old.file), held)
    settings = tcp(data, grpc_certificate=served[0], grpc_key=served[1], grpc_client_ca=served[2])
    async with serving(settings) as server:
        await add_account(server, "fred@example.test")
        tls = ClientTls(held[2], held[0], held[1])
        client = AuthClient(f"127.0.0.1:{server.tcp_port}", tls=tls, deadline=0.2)
        breaks = 0

        def revoked(_: Revocation) -> None:
            nonlocal breaks
            breaks += 1

        client.watch(revoked)
        await until(lambda: said(client.verdicts.is_open))
        before = client._channel
        put((*new.issue("auth"), new.file), served)
        held[0].write_text("half of it")
        await asyncio.sleep(0.1)
        assert client._channel is before
        put((*new.issue("imap"), new.file), held)
        await until(lambda: said(client._channel is not before))
        assert (await client.lookup("fred@example.test")).address == "fred@example.test"
        await until(lambda: said(breaks > 0 and client.verdicts.is_open))
        await client.close()


async def said(truth: bool) -> bool:
    return truth
