"""The module ldap where the directory is slow, gone, restarted, or not who it says."""

import asyncio
import signal
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError
from services.auth.backends.base import Check
from services.auth.backends.ldap import LdapBackend
from services.auth.backends.ldap_connection import LdapConnection, LdapLostError, ServerAddress
from tests.contract.slapd import Slapd, free_port, person, running_slapd
from tests.contract.test_ldap import PEOPLE, RULES, Make, found, login, make, rc, temporary
from tests.services.auth.conftest import make_settings
from tests.support.certificates import Authority

__all__ = ["make"]

DEADLINE = 2.0


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    with running_slapd(PEOPLE) as server:
        yield server


@pytest.fixture
def other() -> Iterator[Slapd]:
    with running_slapd(person("other")) as server:
        yield server


@pytest.fixture(scope="module")
def secure() -> Iterator[Slapd]:
    with running_slapd(PEOPLE, tls=True) as server:
        yield server


def authority(server: Slapd) -> Authority:
    assert server.authority is not None
    return server.authority


@pytest.fixture(params=["ldaps", "starttls"])
def encrypted(request: pytest.FixtureRequest, secure: Slapd) -> str:
    """An authldaprc for TLS of either kind."""
    if request.param == "ldaps":
        return rc(secure.ldaps)
    return rc(f"ldap://localhost:{secure.port}", TLS="1")


async def test_tls(encrypted: str, secure: Slapd, make: Make) -> None:
    backend = await make(encrypted, ldap_ca=authority(secure).certificate)
    assert await backend.find(login("fred@isp.test"))


async def test_a_server_of_an_unknown_authority_is_refused(
    encrypted: str, make: Make, tmp_path: Path
) -> None:
    await temporary((await make(encrypted)).find(login("fred@isp.test")))
    stranger = Authority(tmp_path / "stranger").certificate
    await temporary((await make(encrypted, ldap_ca=stranger)).find(login("fred@isp.test")))


@pytest.mark.parametrize("start_tls", [False, True])
async def test_a_certificate_for_another_name_is_refused(start_tls: bool) -> None:
    with running_slapd(tls=True, names=("elsewhere.test",)) as server:
        tls = ssl.create_default_context(cafile=authority(server).certificate)
        uri = f"ldap://localhost:{server.port}" if start_tls else server.ldaps
        address = ServerAddress.parse(uri)
        with pytest.raises(LdapLostError, match="certificate refused: Hostname mismatch"):
            await LdapConnection.connect(address, tls, start_tls=start_tls)


async def test_a_ca_file_that_is_none(secure: Slapd, make: Make, tmp_path: Path) -> None:
    backend = await make(rc(secure.ldaps), ldap_ca=tmp_path / "missing.pem")
    await temporary(backend.find(login("fred@isp.test")))


async def test_a_client_certificate(make: Make) -> None:
    with running_slapd(PEOPLE, tls=True, extra="TLSVerifyClient demand\n") as server:
        ca = authority(server)
        backend = await make(rc(server.ldaps), ldap_ca=ca.certificate)
        await temporary(backend.find(login("fred@isp.test")))
        certificate, key = ca.issue("restante")
        backend = await make(
            rc(server.ldaps), ldap_ca=ca.certificate, ldap_certificate=certificate, ldap_key=key
        )
        assert await backend.find(login("fred@isp.test"))


async def test_a_server_that_hangs_is_a_temporary_failure_in_time(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, AUTHBIND="1"), ldap_seconds=DEADLINE)
    record = await found(backend, "fred@isp.test")
    check = Check(b"secret", "imap")
    assert await backend.check(login("fred@isp.test"), record, check)
    beats = asyncio.create_task(_beats())
    with slapd.hung():
        async with asyncio.timeout(4 * DEADLINE):  # hangs only
            await asyncio.gather(
                *(temporary(backend.find(login("fred@isp.test"))) for _ in range(20)),
                temporary(backend.check(login("fred@isp.test"), record, check)),
            )
    beats.cancel()
    assert await backend.find(login("fred@isp.test"))
    assert await backend.check(login("fred@isp.test"), record, check)


async def _beats() -> None:
    """Fail where the event loop stands still (a blocking client would do that)."""
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(0.01)
        assert loop.time() - before < DEADLINE / 2


async def test_a_tls_server_that_hangs(secure: Slapd, encrypted: str, make: Make) -> None:
    backend = await make(encrypted, ldap_ca=authority(secure).certificate, ldap_seconds=DEADLINE)
    with secure.hung():
        async with asyncio.timeout(4 * DEADLINE):
            await temporary(backend.find(login("fred@isp.test")))
    assert await backend.find(login("fred@isp.test"))


async def test_the_next_server_is_asked_where_one_is_dead(
    slapd: Slapd, other: Slapd, make: Make
) -> None:
    dead = f"ldap://127.0.0.1:{free_port()}"
    backend = await make(rc(f"{dead}, {other.uri},{slapd.uri}"))
    await backend.open()
    assert await backend.find(login("other@isp.test"))
    assert await backend.find(login("fred@isp.test")) is None  # only in the third
    other.stop()
    assert await backend.find(login("fred@isp.test"))


async def test_the_next_server_is_asked_where_one_hangs(
    slapd: Slapd, other: Slapd, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.auth.backends.ldap_servers.PROBE_SECONDS", 0.02)
    backend = await make(rc(f"{slapd.uri} {other.uri}"), ldap_seconds=DEADLINE)
    assert await backend.find(login("fred@isp.test"))
    with slapd.hung():
        async with asyncio.timeout(4 * DEADLINE):
            for _ in range(5):  # only the first waits for the one that hangs
                assert await backend.find(login("other@isp.test"))
    async with asyncio.timeout(30):  # it is back, and the first again
        while await backend.find(login("fred@isp.test")) is None:
            await asyncio.sleep(0.02)


async def test_a_restart_under_load_gives_temporary_failures_only(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, AUTHBIND="1"), ldap_seconds=DEADLINE)
    outcomes: Counter[str] = Counter()
    ended = asyncio.Event()

    async def client(number: int) -> None:
        known = number % 2 == 0
        name = login("fred@isp.test" if known else "nobody@isp.test")
        while not ended.is_set():
            try:
                record = await backend.find(name)
                assert (record is not None) is known
                if record is not None:
                    assert await backend.check(name, record, Check(b"secret", "imap"))
                    assert not await backend.check(name, record, Check(b"wrong", "imap"))
                outcomes["right"] += 1
            except MailError as error:
                assert error.kind is ErrorKind.TEMPORARY
                outcomes["temporary"] += 1
            await asyncio.sleep(0)

    async def more(outcome: str) -> None:
        before = outcomes[outcome]
        while outcomes[outcome] < before + 20:
            await asyncio.sleep(0.01)

    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(client(number))
        for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
            await more("right")
            await asyncio.to_thread(slapd.stop, how)
            await more("temporary")
            await asyncio.to_thread(slapd.start)
            await more("right")
        ended.set()


async def test_it_may_start_before_the_directory(slapd: Slapd, make: Make) -> None:
    slapd.stop()
    backend = await make(rc(slapd.uri))
    await temporary(backend.open())
    slapd.start()
    assert await backend.find(login("fred@isp.test"))


@pytest.fixture
async def crooked() -> AsyncIterator["Crooked"]:
    server = Crooked()
    await server.start()
    yield server
    server.close()


class Crooked:
    """A server that says what the test wants, whatever it is asked."""

    def __init__(self) -> None:
        self.answer = b""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    @property
    def uri(self) -> str:
        assert self._server is not None
        return f"ldap://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(self.answer)
        writer.close()


def answer(number: int, tag: int, code: int) -> bytes:
    result = bytes((0x0A, 1, code, 4, 0, 4, 0))
    body = bytes((2, 1, number, tag, len(result))) + result
    return bytes((0x30, len(body))) + body


@pytest.mark.parametrize("code", [1, 2, 3, 4, 10, 11, 12, 32, 34, 50, 51, 52, 53, 80])
async def test_no_answer_but_success_means_not_mine(
    crooked: Crooked, make: Make, code: int
) -> None:
    backend = await make(rc(crooked.uri, INITBIND="0"))
    crooked.answer = answer(1, 0x65, code)
    await temporary(backend.find(login("fred@isp.test")))


async def test_success_means_not_mine(crooked: Crooked, make: Make) -> None:
    """The counterpart: the test server is understood."""
    backend = await make(rc(crooked.uri, INITBIND="0"))
    crooked.answer = answer(1, 0x65, 0)
    assert await backend.find(login("fred@isp.test")) is None


@pytest.mark.parametrize(
    "rubbish",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80",
        answer(7, 0x65, 0),  # of another question
        answer(0, 0x78, 52),  # notice of disconnection
        answer(1, 0x61, 0)[:-1] + b"\x04",
    ],
)
async def test_rubbish_is_a_temporary_failure(crooked: Crooked, make: Make, rubbish: bytes) -> None:
    backend = await make(rc(crooked.uri, INITBIND="0"), ldap_seconds=DEADLINE)
    crooked.answer = rubbish
    await temporary(backend.find(login("fred@isp.test")))


@pytest.mark.parametrize("code", [1, 8, 13, 19, 51, 52, 53, 80])
async def test_a_doubtful_bind_is_not_a_wrong_password(
    crooked: Crooked, make: Make, slapd: Slapd, code: int, tmp_path: Path
) -> None:
    backend = await make(rc(slapd.uri, AUTHBIND="1"))
    record = await found(backend, "fred@isp.test")
    path = tmp_path / "crooked"
    path.write_text(rc(crooked.uri, AUTHBIND="1", INITBIND="0"))
    doubtful = LdapBackend(make_settings(tmp_path, ldaprc=path), RULES)
    crooked.answer = answer(1, 0x61, code)
    await temporary(doubtful.check(login("fred@isp.test"), record, Check(b"secret", "imap")))
    await doubtful.close()


async def test_what_comes_in_clear_behind_starttls_is_refused(
    crooked: Crooked, make: Make, secure: Slapd
) -> None:
    backend = await make(
        rc(crooked.uri, TLS="1", INITBIND="0"), ldap_ca=authority(secure).certificate
    )
    crooked.answer = answer(1, 0x78, 0) + answer(2, 0x65, 0)
    await temporary(backend.find(login("fred@isp.test")))


async def test_requests_are_cancelled_without_harm(slapd: Slapd, make: Make) -> None:
    """A caller that goes away in the middle leaves no answer for the next one."""
    backend = await make(rc(slapd.uri), ldap_pool=1)

    async def look(name: str) -> None:
        record = await backend.find(login(f"{name}@isp.test"))
        assert record is not None
        assert record.account.home == Path(f"/mail/{name}")

    for turn in range(60):
        task: asyncio.Task[None] = asyncio.create_task(look("fred"))
        for _ in range(turn % 12):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await look("box")


class Counting:
    """Counts new connections."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connected = 0
        real = LdapConnection.connect

        async def connect(*args: Any, **kwargs: Any) -> LdapConnection:
            self.connected += 1
            return await real(*args, **kwargs)

        monkeypatch.setattr(LdapConnection, "connect", connect)


async def test_connections_are_kept(
    slapd: Slapd, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Counting(monkeypatch)
    backend = await make(rc(slapd.uri, AUTHBIND="1"), ldap_pool=3)

    async def log_in() -> None:
        record = await found(backend, "fred@isp.test")
        assert await backend.check(login("fred@isp.test"), record, Check(b"secret", "imap"))

    for _ in range(3):
        await asyncio.gather(*(log_in() for _ in range(30)))
    assert 2 <= count.connected <= 6  # three for searches, three for binds


async def test_connections_that_waited_too_long_are_not_trusted(
    slapd: Slapd, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.auth.backends.ldap_servers._KEEP_SECONDS", -1.0)
    count = Counting(monkeypatch)
    backend = await make(rc(slapd.uri))
    for _ in range(3):
        assert await backend.find(login("fred@isp.test"))
    assert count.connected == 3
