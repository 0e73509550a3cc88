"""Certificates by name, changed under open sessions as Kubernetes and certbot change them."""

import asyncio
import hashlib
import os
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from restante.model import ErrorKind, MailError
from restante.runtime import log, tls_names
from restante.runtime import tls as module
from restante.runtime.connection import Connection
from restante.runtime.listener import Listener
from restante.runtime.tls import TlsContexts
from restante.runtime.tls_names import TlsNames
from tests.support.certificates import Authority
from tests.unit.runtime.conftest import Serve


@dataclass
class Shown:
    """What a client saw, over a connection that stays open."""

    name: str  # common name of the certificate
    bound: bytes  # the end point that the server would bind to
    expected: bytes  # and the one that the client would
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader

    async def still_there(self) -> bool:
        self.writer.write(b"ping\r\n")
        return await self.reader.readline() == b"ping\r\n"


Connect = Callable[[str | None], Awaitable[Shown]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files at every handshake."""
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(tls_names, "SECONDS", 0.0)
    monkeypatch.setattr(tls_names, "RETRY", 0.0)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    made: list[str] = []
    log.configure("info", "console", made.append)
    yield made
    log.configure("info", "console")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "sni"
    path.mkdir()
    return path


@pytest.fixture
async def listener(serve: Serve, authority: Authority, folder: Path) -> Listener:
    names = TlsNames(folder)
    contexts = TlsContexts(*authority.issue("default.example"), choose=names.find)

    async def session(connection: Connection) -> None:
        bound = connection.peer.bindings["tls-server-end-point"]
        connection.write(bound.hex().encode() + b"\r\n")
        while data := await connection.receive(20):
            connection.write(data)

    return await serve(session, tls=contexts, implicit_tls=True)


@pytest.fixture
async def connect(listener: Listener, authority: Authority) -> Connect:
    async def connect(name: str | None) -> Shown:
        context = ssl.create_default_context(cafile=str(authority.certificate))
        context.check_hostname = False
        reader, writer = await asyncio.open_connection(
            *listener.address.target, ssl=context, server_hostname=name or ""
        )
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        certificate = x509.load_der_x509_certificate(der)
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        bound = bytes.fromhex((await reader.readline()).decode())
        return Shown(str(common), bound, hashlib.sha256(der).digest(), writer, reader)

    return connect


def lay(folder: Path, pair: tuple[Path, Path], names: tuple[str, str]) -> None:
    """Put a pair where a name's certificate is looked for."""
    folder.mkdir(parents=True, exist_ok=True)
    for source, name in zip(pair, names, strict=True):
        shutil.copy(source, folder / name)


KUBERNETES, CERTBOT = ("tls.crt", "tls.key"), ("fullchain.pem", "privkey.pem")


@pytest.mark.usefixtures("lines")
async def test_the_name_chooses(connect: Connect, folder: Path, authority: Authority) -> None:
    lay(folder / "mail.one.example", authority.issue("mail.one.example"), KUBERNETES)
    lay(folder / "mail.two.example", authority.issue("mail.two.example"), CERTBOT)
    lay(folder / "*.one.example", authority.issue("*.one.example"), CERTBOT)
    lay(folder / "_wildcard.three.example", authority.issue("*.three.example"), KUBERNETES)
    lay(folder / "..data", authority.issue("hidden.example"), KUBERNETES)
    (folder / "README").write_text("certbot leaves one")
    for asked, shown in (
        ("mail.one.example", "mail.one.example"),
        ("MAIL.two.example", "mail.two.example"),
        ("imap.one.example", "*.one.example"),
        ("pop.three.example", "*.three.example"),
        ("three.example", "default.example"),  # a wildcard is one label
        ("a.b.three.example", "default.example"),
        ("unknown.example", "default.example"),
        ("..data", "default.example"),
        (None, "default.example"),
    ):
        if asked == "..data":  # no client of Python's says this
            continue
        seen = await connect(asked)
        assert (asked, seen.name) == (asked, shown)
        assert seen.bound == seen.expected  # the channel is bound to what was shown
        seen.writer.close()


async def test_new_and_removed_names(
    connect: Connect, folder: Path, authority: Authority, lines: list[str]
) -> None:
    name = "new.example"
    assert (await connect(name)).name == "default.example"
    lay(folder / name, authority.issue(name), KUBERNETES)
    open_session = await connect(name)
    assert open_session.name == name
    shutil.rmtree(folder / name)
    assert (await connect(name)).name == "default.example"
    assert await open_session.still_there()
    assert sum(" tls names " in line for line in lines) == 2


async def test_kubernetes_swaps_a_secret(
    connect: Connect, folder: Path, authority: Authority, lines: list[str]
) -> None:
    """Files are links into ..data, which is a link that is replaced by a rename."""
    mount = folder / "mail.example"

    def swap(version: str, common: str) -> None:
        lay(mount / version, authority.issue(common), KUBERNETES)
        os.symlink(version, mount / "..data_tmp")
        os.rename(mount / "..data_tmp", mount / "..data")

    swap("..2026_1", "first")
    for file in KUBERNETES:
        os.symlink(f"..data/{file}", mount / file)
    first = await connect("mail.example")
    swap("..2026_2", "second")
    shutil.rmtree(mount / "..2026_1")
    second = await connect("mail.example")
    assert (first.name, second.name) == ("first", "second")
    assert await first.still_there()
    assert await second.still_there()
    assert sum("tls certificate loaded again" in line for line in lines) == 1


@pytest.mark.usefixtures("lines")
async def test_certbot_renews(connect: Connect, folder: Path, authority: Authority) -> None:
    """Files in live/ are links into archive/, replaced one after the other."""
    live, archive = folder / "mail.example", folder.parent / "archive"
    live.mkdir()
    archive.mkdir()

    def renew(number: int, *, whole: bool) -> None:
        pair = authority.issue(f"number {number}")
        for source, name in list(zip(pair, CERTBOT, strict=True))[: 2 if whole else 1]:
            target = archive / name.replace(".pem", f"{number}.pem")
            shutil.copy(source, target)
            (live / name).unlink(missing_ok=True)
            (live / name).symlink_to(target)

    renew(1, whole=True)
    assert (await connect("mail.example")).name == "number 1"
    renew(2, whole=False)  # the key is still that of the first
    assert (await connect("mail.example")).name == "number 1"
    renew(3, whole=True)
    assert (await connect("mail.example")).name == "number 3"


async def test_a_broken_pair_is_told_once(
    connect: Connect, folder: Path, authority: Authority, lines: list[str]
) -> None:
    lay(folder / "good.example", authority.issue("good.example"), KUBERNETES)
    assert (await connect("good.example")).name == "good.example"
    (folder / "good.example" / "tls.key").write_text("nonsense")
    (folder / "bad.example").mkdir()
    for _ in range(3):
        assert (await connect("good.example")).name == "good.example"
        assert (await connect("bad.example")).name == "default.example"
    assert sum("the old one stays" in line for line in lines) == 1
    assert sum("tls name has no certificate" in line for line in lines) == 1
    lay(folder / "bad.example", authority.issue("bad.example"), CERTBOT)
    assert (await connect("bad.example")).name == "bad.example"


async def test_a_directory_that_is_away(connect: Connect, folder: Path, lines: list[str]) -> None:
    folder.rmdir()
    for _ in range(3):
        assert (await connect("mail.example")).name == "default.example"
    assert sum("tls names cannot be listed" in line for line in lines) == 1


@pytest.mark.usefixtures("lines")
def test_handshakes_do_not_ask_the_disk(
    folder: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand handshakes in a second: one look at the directory, one at a certificate."""
    monkeypatch.setattr(module, "_LOOK_EVERY", 3600.0)
    monkeypatch.setattr(tls_names, "SECONDS", 3600.0)
    for number in range(20):
        lay(folder / f"n{number}.example", authority.issue(f"n{number}"), KUBERNETES)
    names = TlsNames(folder)
    first = names.find("n1.example")
    asked: list[object] = []
    real = os.stat

    def stat(path: object, *args: object, **options: object) -> os.stat_result:
        asked.append(path)
        return real(path, *args, **options)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(os, "stat", stat)
    assert all(names.find("n1.example") is first for _ in range(1000))
    assert all(names.find(f"x{n}.example") is None for n in range(1000))
    assert not asked


@pytest.mark.usefixtures("lines")
async def test_openssl_agrees(listener: Listener, folder: Path, authority: Authority) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    lay(folder / "mail.example", authority.issue("mail.example"), KUBERNETES)
    host, port = listener.address.target

    def client(*options: str) -> str:
        done = subprocess.run(
            ("openssl", "s_client", "-connect", f"{host}:{port}", *options),
            input="",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout

    named = await asyncio.to_thread(client, "-servername", "mail.example")
    unnamed = await asyncio.to_thread(client, "-noservername")
    assert "CN = mail.example" in named.replace("CN=", "CN = ")
    assert "CN = default.example" in unnamed.replace("CN=", "CN = ")


@pytest.mark.usefixtures("lines")
def test_one_context_for_a_whole_server(folder: Path, authority: Authority) -> None:
    """What uvicorn is given: it chooses by name, and is up to date without one."""
    pair = authority.issue("first")
    mine = folder.parent / "c.pem", folder.parent / "k.pem"
    lay(folder.parent, pair, ("c.pem", "k.pem"))
    lay(folder / "mail.example", authority.issue("mail.example"), CERTBOT)
    context = TlsContexts(*mine, choose=TlsNames(folder).find).lasting()

    def shown(name: str | None) -> str:
        client = ssl.create_default_context(cafile=str(authority.certificate))
        client.check_hostname = False
        inbound, outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = client.wrap_bio(inbound, outbound, server_hostname=name)
        theirs = context.wrap_bio(outbound, inbound, server_side=True)
        for side in (ours, theirs, ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        certificate = x509.load_der_x509_certificate(ours.getpeercert(binary_form=True) or b"")
        return certificate.subject.rfc4514_string()

    assert shown(None) == "CN=first"
    assert shown("mail.example") == "CN=mail.example"
    lay(folder.parent, authority.issue("second"), ("c.pem", "k.pem"))
    assert shown(None) == "CN=second"


def test_the_default_certificate_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(MailError) as fault:
        TlsContexts(tmp_path / "c.pem", tmp_path / "k.pem", choose=TlsNames(tmp_path).find)
    assert fault.value.kind is ErrorKind.CANNOT
