"""The module http: a real web server, good and bad."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from services.auth.backends import http
from services.auth.backends.base import Check, ModuleContext, PasswordChange
from services.auth.backends.directory_contract import DirectoryBackend
from services.auth.database.engine import Database, database_url
from services.auth.names import NameRules
from tests.contract.test_pipe_module import FRED, example, good, login, temporary
from tests.services.auth.conftest import make_settings, serving
from tests.support.certificates import Authority

HANG = 60.0  # seconds; only against hangs
DEADLINE = 1.0

Question = dict[str, Any]


class Web:
    """A server of few words: `answer` gets (headers, question) and returns the response's bytes."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Callable[[str, Question], bytes] = lambda headers, question: b""
        self.requests: list[tuple[str, Question]] = []
        self.connections = 0
        self.hangs = False
        self.drop_after = 1_000_000  # requests of one connection
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._tls)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}/mail"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            for _ in range(self.drop_after):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(line.partition(":")[2])
                    for line in head.split("\r\n")
                    if line.lower().startswith("content-length:")
                )
                question = json.loads(await reader.readexactly(length))
                self.requests.append((head, question))
                if self.hangs:
                    await asyncio.Event().wait()
                writer.write(self.answer(head, question))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


def response(body: str | bytes, status: str = "200 OK", *headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers, "", "")
    return "\r\n".join(lines).encode() + data


def by_example() -> Callable[[str, Question], bytes]:
    """Answer as the program of the document does."""
    names: dict[str, Any] = {}
    exec(example().partition("for line in sys.stdin")[0], names)

    def answer(_: str, question: Question) -> bytes:
        return response("\n".join(map(json.dumps, names["answers"](question))))

    return answer


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    server = Web()
    await server.start()
    yield server
    await server.stop()


Make = Callable[..., DirectoryBackend]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        def run(url: str, **settings: Any) -> DirectoryBackend:
            values = {"http_module_url": url, "http_module_seconds": HANG, **settings}
            database = Database(database_url(f"sqlite:///{tmp_path}/db"))
            context = ModuleContext(NameRules(), database)
            made = http.make(make_settings(tmp_path, **values), context)
            stack.push_async_callback(made.close)
            return made

        yield run


async def test_questions_and_answers(web: Web, make: Make, tmp_path: Path) -> None:
    web.answer = by_example()
    backend = make(web.url, http_module_token="the token")
    await backend.open()
    fred = login("Fred@Example.ORG")
    record = await backend.find(fred)
    assert record is not None
    assert record.account.home == tmp_path / "mail/example.org/fred"
    assert await backend.check(fred, record, Check(b"wilma", "imap", "192.0.2.1"))
    assert not await backend.check(fred, record, Check(b"betty", "imap"))
    assert await backend.find(login("nobody@example.org")) is None
    listed = [r.account.address async for r in backend.records()]
    assert listed == [FRED, "shop@example.org"]
    assert await backend.set_password(fred, PasswordChange(b"pebbles", "", b"wilma"))
    assert await backend.check(fred, record, Check(b"pebbles", "imap"))
    with pytest.raises(MailError) as caught:
        await backend.set_password(fred, PasswordChange(b"abc", ""))
    assert caught.value.kind is ErrorKind.CANNOT

    head, question = web.requests[1]
    assert head.startswith("POST /mail HTTP/1.1\r\n")
    assert "authorization: bearer the token\r\n" in head.lower()
    assert "content-type: application/json\r\n" in head.lower()
    assert question == {
        "version": 1,
        "op": "authenticate",
        "address": FRED,
        "local": "fred",
        "domain": "example.org",
        "password": "wilma",
        "service": "imap",
        "peer": "192.0.2.1",
    }
    assert web.connections == 1  # kept


async def test_logins_end_to_end(web: Web, tmp_path: Path) -> None:
    web.answer = by_example()
    settings = make_settings(tmp_path, modules=("http",), http_module_url=web.url)
    async with serving(settings):
        client = AuthClient(str(settings.listen))
        account = await client.authenticate(FRED, "wilma", service="imap", peer="")
        assert account.uid == 1000
        with pytest.raises(MailError) as caught:
            await client.authenticate(FRED, "betty", service="imap", peer="")
        assert caught.value.kind is ErrorKind.AUTH_FAILED
        await web.stop()
        with pytest.raises(MailError) as caught:
            await client.authenticate(FRED, "wilma", service="imap", peer="")
        assert caught.value.kind is ErrorKind.TEMPORARY
        with pytest.raises(MailError) as caught:
            await client.lookup("nobody@example.org")
        assert caught.value.kind is ErrorKind.TEMPORARY
        await client.close()


NOT_FOUND = '{"result":"not_found"}'


@pytest.mark.parametrize(
    "answer",
    [
        response(NOT_FOUND, "201 Created"),
        response("", "204 No Content"),
        response(NOT_FOUND, "302 Found", "Location: /elsewhere"),
        response(NOT_FOUND, "307 Temporary Redirect", "Location: http://127.0.0.1:1/"),
        response(NOT_FOUND, "401 Unauthorized"),
        response(NOT_FOUND, "404 Not Found"),
        response(NOT_FOUND, "500 Oops"),
        response(NOT_FOUND, "200 OK", "Content-Encoding: gzip"),
        response("<html>welcome</html>"),
        response('{"result":"ok"}'),
        response(NOT_FOUND + " " * 70_000),
        response(NOT_FOUND)[:-3],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"220 mail ESMTP\r\n",
        b"",
    ],
)
async def test_anything_else_is_a_temporary_failure(web: Web, make: Make, answer: bytes) -> None:
    web.answer = lambda *_: answer
    web.drop_after = 1
    await temporary(make(web.url).find(login(FRED)))
    assert all(head.startswith("POST /mail ") for head, _ in web.requests)


async def test_the_counterpart(web: Web, make: Make) -> None:
    web.answer = lambda *_: response(NOT_FOUND)
    assert await make(web.url).find(login(FRED)) is None


async def test_a_connection_that_was_closed_meanwhile(web: Web, make: Make) -> None:
    web.answer = lambda *_: response(NOT_FOUND)
    web.drop_after = 1
    backend = make(web.url)
    for _ in range(20):
        assert await backend.find(login(FRED)) is None


async def test_a_new_password_is_never_sent_twice(web: Web, make: Make) -> None:
    web.answer = lambda *_: b""
    web.drop_after = 1
    await temporary(make(web.url).set_password(login(FRED), PasswordChange(b"new one", "")))
    assert len(web.requests) == 1


async def test_a_server_that_hangs_or_drips(web: Web, make: Make) -> None:
    web.hangs = True
    async with asyncio.timeout(HANG):
        backend = make(web.url, http_module_seconds=DEADLINE)
        await temporary(backend.find(login(FRED)))
    web.hangs = False
    web.answer = lambda *_: response(NOT_FOUND)
    assert await backend.find(login(FRED)) is None


async def test_a_server_that_is_restarted(web: Web, make: Make) -> None:
    web.answer = lambda *_: response(NOT_FOUND)
    backend = make(web.url)
    assert await backend.find(login(FRED)) is None
    port = web.port
    await web.stop()
    await temporary(backend.find(login(FRED)))
    await web.start(port)
    assert await backend.find(login(FRED)) is None


async def test_no_more_requests_at_once_than_allowed(web: Web, make: Make) -> None:
    web.answer = lambda *_: response(NOT_FOUND)
    backend = make(web.url, http_module_connections=2)
    await asyncio.gather(*(backend.find(login(f"u{i}@x.test")) for i in range(50)))
    assert len(web.requests) == 50
    assert web.connections <= 2


async def test_https(make: Make, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.issue("localhost"))
    web = Web(tls)
    await web.start()
    web.answer = lambda *_: response(NOT_FOUND)
    assert await make(web.url, http_module_ca=authority.certificate).find(login(FRED)) is None
    await temporary(make(web.url).find(login(FRED)))  # an authority that nobody knows
    other = f"https://127.0.0.1:{web.port}/mail"  # a name that the certificate lacks
    await temporary(make(other, http_module_ca=authority.certificate).find(login(FRED)))
    missing = tmp_path / "missing"
    await temporary(make(web.url, http_module_ca=missing).find(login(FRED)))
    await web.stop()


async def test_the_environment_sends_nothing_elsewhere(
    web: Web, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    web.answer = lambda *_: response(NOT_FOUND)
    assert await make(web.url).find(login(FRED)) is None


@pytest.mark.parametrize("end", ["", "\n", '\n{"result":"temporary"}', "\n" + "x" * 70_000])
async def test_a_list_without_its_end(web: Web, make: Make, end: str) -> None:
    web.answer = lambda *_: response(good(address="a@x.test") + end)
    listed = []

    async def run() -> None:
        async for record in make(web.url).records():
            listed.append(record.account.address)

    await temporary(run())
    assert listed in (["a@x.test"], [])


async def test_a_long_list_is_streamed(web: Web, make: Make) -> None:
    rows = "".join(good(address=f"u{i}@x.test") + "\n" for i in range(3_000))
    web.answer = lambda *_: response(rows + '{"result":"end"}\n')
    count = 0
    async for _ in make(web.url).records():
        count += 1
    assert count == 3_000


def test_no_url(make: Make) -> None:
    with pytest.raises(MailError) as caught:
        make("")
    assert caught.value.kind is ErrorKind.CANNOT


async def test_nothing_secret_reaches_the_log(
    web: Web, make: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    web.answer = lambda *_: response("nonsense with wilma in it", "200 OK")
    backend = make(web.url, http_module_token="the token")
    record = None
    await temporary(backend.find(login(FRED)))
    web.answer = by_example()
    record = await backend.find(login(FRED))
    assert record is not None
    web.answer = lambda *_: response('{"result":"wilma"}')
    await temporary(backend.check(login(FRED), record, Check(b"wilma", "imap")))
    text = "".join(capfd.readouterr())
    assert "contract" in text
    assert "wilma" not in text
    assert "the token" not in text
