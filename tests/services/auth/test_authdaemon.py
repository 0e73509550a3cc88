"""authdaemond's protocol byte by byte (reference: courier-authlib's authdaemond)."""

import asyncio
import hmac
import shutil
import socket
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError
from restante.runtime.settings import ListenAddress
from restante.wire import hmac_state
from services.auth.authdaemon import MAX_LINE, Reader, Request
from services.auth.server import AuthServer
from tests.services.auth.accounts import add_account
from tests.services.auth.conftest import make_settings, serving


def settings_of(data: Path, **changes: Any) -> Any:
    listen = ListenAddress(path=str(data / "socket"))
    return make_settings(data, **{"authdaemon_listen": listen, **changes})


@pytest.fixture
async def server(data: Path) -> AsyncIterator[AuthServer]:
    settings = settings_of(data, default_options="disablepop3=1")
    async with serving(settings) as running:
        await add_account(
            running, "fred@example.test", name="Fred F, room 1", quota="100S", options="group=a"
        )
        await add_account(running, "off@example.test", disabled=True)
        yield running


async def ask(data: Path, request: bytes, *, half_close: bool = True) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(data / "socket"))
    writer.write(request)
    if half_close:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


def body(*lines: str) -> bytes:
    text = "\n".join(lines).encode()
    return b"AUTH %d\n%s" % (len(text), text)


def described(server: AuthServer, *, options: str = "group=a,disablepop3=1") -> bytes:
    home = f"{server.settings.mail_root}/example.test/f/fr/fred"
    return (
        f"UID=1000\nGID=1000\nHOME={home}\nADDRESS=fred@example.test\nNAME=Fred F\n"
        f"MAILDIR={home}/Maildir\nQUOTA=100S\nOPTIONS={options}\n.\n"
    ).encode()


async def test_pre(data: Path, server: AuthServer) -> None:
    expected = described(server)
    assert await ask(data, b"PRE . smtp fred@example.test\n") == expected
    assert await ask(data, b"PRE . smtp fred@example.test\n", half_close=False) == expected
    assert await ask(data, b"TCPREMOTEIP=192.0.2.1\nX=y\nPRE authsql imap FRED@example.test\n") == (
        expected
    )
    assert await ask(data, b"PRE . smtp nobody@example.test\n") == b"FAIL\n"
    assert await ask(data, b"PRE authpam smtp fred@example.test\n") == b"FAIL\n"
    assert await ask(data, b"PRE . smtp ../fred\n") == b"FAIL\n"
    assert await ask(data, b"PRE . smtp \n") == b"FAIL\n"


async def test_pre_of_a_disabled_account_is_for_delivery_only(
    data: Path, server: AuthServer
) -> None:
    answer = await ask(data, b"PRE . smtp off@example.test\n")
    assert b"\nOPTIONS=disableimap=1,disablepop3=1,disablewebmail=1\n" in answer
    assert await ask(data, body("imap", "login", "off@example.test", "secret")) == b"FAIL\n"


async def test_auth(data: Path, server: AuthServer) -> None:
    expected = described(server)
    fred = "fred@example.test"
    assert await ask(data, body("imap", "login", fred, "secret")) == expected
    assert await ask(data, body("imap", "login", fred, "secret", "")) == expected
    assert await ask(data, body("imap", "login", fred, "secret"), half_close=False) == expected
    assert await ask(data, body("imap", "login", fred, "wrong")) == b"FAIL\n"
    assert await ask(data, body("imap", "login", fred, "")) == b"FAIL\n"
    assert await ask(data, body("imap", "login", "nobody@example.test", "x")) == b"FAIL\n"
    assert await ask(data, body("imap", "cram-md5", "aaaa", "bbbb")) == b"FAIL\n"
    assert await ask(data, body("imap", "login", fred)) == b"FAIL\n"


def cram(
    name: str, user: str, password: str, *, service: str = "imap", challenge: bytes = b"<1.2@host>"
) -> bytes:
    digest = hmac.new(password.encode(), challenge, name.removeprefix("cram-")).hexdigest()
    response = b64encode(f"{user} {digest}".encode()).decode()
    return body(service, name, b64encode(challenge).decode(), response, "")


@pytest.mark.parametrize("name", ["cram-md5", "cram-sha1", "cram-sha256"])
async def test_cram(data: Path, server: AuthServer, name: str) -> None:
    await add_account(server, "tim@example.test", stored="{PLAIN}tanstaaftanstaaf")
    tim = "tim@example.test"
    answer = await ask(data, cram(name, tim, "tanstaaftanstaaf"))
    assert b"\nADDRESS=tim@example.test\n" in answer
    assert answer.endswith(b"\n.\n")
    assert b"PASSWD" not in answer
    for half_close in (True, False):
        request = cram(name, "Tim@Example.test", "tanstaaftanstaaf", service="pop3")
        assert await ask(data, request, half_close=half_close) == answer
    assert await ask(data, cram(name, tim, "wrong")) == b"FAIL\n"
    assert await ask(data, cram(name, "nobody@example.test", "x")) == b"FAIL\n"
    # Only a hash is stored.
    assert await ask(data, cram(name, "fred@example.test", "secret")) == b"FAIL\n"


async def test_the_cram_example_of_rfc_2195(data: Path, server: AuthServer) -> None:
    await add_account(server, "tim@example.test", stored="{PLAIN}tanstaaftanstaaf")
    request = body(
        "imap",
        "cram-md5",
        "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
        b64encode(b"tim@example.test b913a602c7eda7a495b4e6e7334d3890").decode(),
    )
    assert b"\nADDRESS=tim@example.test\n" in await ask(data, request)


@pytest.mark.parametrize(
    ("challenge", "response"),
    [
        ("", ""),
        ("%%%", "dGlt"),
        ("PDE+", "%%%"),
        ("PDE+", "dGlt"),
        ("PDE+", b64encode(b"tim@example.test ").decode()),
        ("PDE+", b64encode(b"\xff " + b"a" * 32).decode()),
        ("", b64encode(b"tim@example.test " + b"a" * 32).decode()),
    ],
)
async def test_bad_cram(data: Path, server: AuthServer, challenge: str, response: str) -> None:
    await add_account(server, "tim@example.test", stored="{PLAIN}tanstaaftanstaaf")
    assert await ask(data, body("imap", "cram-md5", challenge, response)) == b"FAIL\n"


async def test_other_kinds_of_auth(data: Path, server: AuthServer) -> None:
    for kind in ("external", "cram-md4", "scram-sha-256", "plain", ""):
        assert await ask(data, body("imap", kind, "fred@example.test", "secret")) == b"FAIL\n"


async def test_service_names(data: Path) -> None:
    """A password for one service opens no other, by any name that Courier's programs send."""
    path = data / "userdb"
    contexts = hmac_state.contexts("md5", b"by imap")
    path.write_text(
        "fred\thome=/home/fred|uid=1|gid=1|systempw={PLAIN}any|imappw={PLAIN}imap|"
        f"imap-hmac-md5pw={contexts}\n"
    )
    path.chmod(0o600)
    async with serving(settings_of(data, modules="userdb", userdb=path)):
        assert (await ask(data, body("imap", "login", "fred", "imap"))).endswith(b".\n")
        assert await ask(data, body("imap", "login", "fred", "any")) == b"FAIL\n"
        for service in ("pop3", "esmtp", "smtp", "webmail", "courier"):
            assert (await ask(data, body(service, "login", "fred", "any"))).endswith(b".\n")
            assert await ask(data, body(service, "login", "fred", "imap")) == b"FAIL\n"
        assert (await ask(data, cram("cram-md5", "fred", "by imap"))).endswith(b".\n")
        request = cram("cram-md5", "fred", "by imap", service="pop3")
        assert await ask(data, request) == b"FAIL\n"


async def test_external_comes_as_pre(data: Path, server: AuthServer) -> None:
    """SASL EXTERNAL: Courier verified the certificate, and asks for the account alone."""
    assert await ask(data, b"PRE . imap fred@example.test\n") == described(server)


async def test_by_tcp(data: Path) -> None:
    settings = settings_of(data, authdaemon_listen=ListenAddress("127.0.0.1", 0))
    async with serving(settings) as server:
        await add_account(server, "fred@example.test", stored="{PLAIN}secret")
        assert server.authdaemon is not None
        reader, writer = await asyncio.open_connection(*server.authdaemon.address.target)
        writer.write(cram("cram-md5", "fred@example.test", "secret"))
        writer.write_eof()
        assert (await asyncio.wait_for(reader.read(), 10)).endswith(b"\n.\n")
        writer.close()


async def test_hashes_only_where_a_setting_says_so(data: Path) -> None:
    async with serving(settings_of(data, authdaemon_passwords=True)) as server:
        await add_account(server, "fred@example.test", stored="$1$abc$def")
        answer = await ask(data, b"PRE . smtp fred@example.test\n")
        assert b"\nPASSWD=$1$abc$def\n" in answer
        assert b"PASSWD2" not in answer


async def test_passwd(data: Path, server: AuthServer) -> None:
    fred = b"fred@example.test"
    assert await ask(data, b"PASSWD imap\t%s\twrong\tzebra-lamp-42\n" % fred) == b"FAIL\n"
    assert await ask(data, b"PASSWD imap\t%s\tsecret\tn\x01w\n" % fred) == b"FAIL\n"
    assert await ask(data, b"PASSWD imap\t%s\tsecret\n" % fred) == b""
    assert await ask(data, b"PASSWD imap\t%s\tsecret\t\n" % fred) == b"FAIL\n"
    weak = b"PASSWD imap\t%s\tsecret\tpassword1\n" % fred
    assert await ask(data, weak) == b"FAIL\n"
    assert await ask(data, b"PASSWD imap\t%s\tsecret\tzebra-lamp-42\n" % fred) == b"OK\n"
    assert await ask(data, body("imap", "login", fred.decode(), "secret")) == b"FAIL\n"
    assert await ask(data, body("imap", "login", fred.decode(), "zebra-lamp-42")) == described(
        server
    )
    assert await ask(data, b"PASSWD imap\toff@example.test\tsecret\tzebra-lamp-42\n") == b"FAIL\n"


async def test_enumerate(data: Path, server: AuthServer) -> None:
    root = server.settings.mail_root
    fred, off = f"{root}/example.test/f/fr/fred", f"{root}/example.test/o/of/off"
    assert (
        await ask(data, b"ENUMERATE\n")
        == (
            "# sql\n\n"
            f"fred@example.test\t1000\t1000\t{fred}\t{fred}/Maildir\tgroup=a,disablepop3=1\n"
            f"off@example.test\t1000\t1000\t{off}\t{off}/Maildir\tdisablepop3=1\n"
            ".\n"
        ).encode()
    )


async def test_domain(data: Path, server: AuthServer) -> None:
    assert await ask(data, b"DOMAIN example.test\n") == b"OK\n"
    assert await ask(data, b"DOMAIN Example.TEST\n") == b"OK\n"
    assert await ask(data, b"TCPREMOTEIP=192.0.2.1\nDOMAIN example.test\n") == b"OK\n"
    for name in (b"other.test", b"", b"test", b"a b", b"../x", b"[127.0.0.1]", b"\xff", b"x" * 300):
        assert await ask(data, b"DOMAIN %s\n" % name) == b"FAIL\n"


async def test_a_fault_behind_domain_closes_without_a_byte(
    data: Path, server: AuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(name: str) -> bool:
        raise MailError(ErrorKind.TEMPORARY, "the database is away")

    monkeypatch.setattr(server.chain, "has_domain", away)
    assert await ask(data, b"DOMAIN example.test\n") == b""


async def test_a_fault_closes_without_a_byte(data: Path) -> None:
    path = data / "userdb"
    path.write_text("fred\thome=/home/fred|uid=1|gid=1|systempw={PLAIN}x\n")
    path.chmod(0o644)
    async with serving(settings_of(data, modules="userdb", userdb=path)):
        assert await ask(data, b"PRE . smtp fred\n") == b""
        assert await ask(data, body("imap", "login", "fred", "x")) == b""
        assert await ask(data, b"PASSWD imap\tfred\tx\tnew\n") == b"FAIL\n"
        assert await ask(data, b"ENUMERATE\n") == b""
        path.chmod(0o600)
        assert (await ask(data, b"PRE . smtp fred\n")).endswith(b".\n")
        # The policy refuses it.
        assert await ask(data, b"PASSWD imap\tfred\tx\tnew\n") == b"FAIL\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\n",
        b"HELO\n",
        b"AUTH\n",
        b"AUTH x\n",
        b"AUTH -1\n",
        b"AUTH 99999999999999999999\n",
        b"AUTH 8192\n",
        b"AUTH 10\nshort",
        b"PRE . imap fred",
        b"x" * 10000,
        b"A=" + b"x" * 9000 + b"\nPRE . smtp fred@example.test\n",
        b"\0\0\0\n",
    ],
)
async def test_what_is_no_request_gets_no_answer(
    data: Path, server: AuthServer, request_: bytes
) -> None:
    assert await ask(data, request_) == b""


def test_every_split() -> None:
    for whole, expected in (
        (
            b"TCPREMOTEIP=192.0.2.1\nPRE . imap a b c\n",
            Request("PRE", (b".", b"imap", b"a b c"), "192.0.2.1"),
        ),
        (body("imap", "login", "a", "b"), Request("AUTH", (b"imap", b"login", b"a", b"b"))),
        (b"PASSWD a\tb\tc\td\n", Request("PASSWD", (b"a", b"b", b"c", b"d"))),
        (b"ENUMERATE\n", Request("ENUMERATE")),
        (b"DOMAIN a.test\n", Request("DOMAIN", (b"a.test",))),
        (
            body("imap", "cram-md5", "PDE+", "dGlt", ""),
            Request("AUTH", (b"imap", b"cram-md5", b"PDE+", b"dGlt", b"")),
        ),
        (b"A=b\nTCPREMOTEIP=::1\nPRE . imap a\n", Request("PRE", (b".", b"imap", b"a"), "::1")),
    ):
        for cut in range(len(whole)):
            reader = Reader()
            assert reader.feed(whole[:cut]) is None
            assert reader.feed(whole[cut:]) == expected


def test_memory_is_bounded() -> None:
    reader = Reader()
    for _ in range(MAX_LINE - 1):
        assert reader.feed(b"x") is None
    with pytest.raises(ValueError, match="line too long"):
        reader.feed(b"x")


@pytest.mark.skipif(shutil.which("exim4") is None, reason="exim4 is not installed")
async def test_exim_reads_the_socket(data: Path, server: AuthServer) -> None:
    data.chmod(0o755)
    expression = "${readsocket{%s/socket}{PRE . smtp fred@example.test\\n}{5s}{|}}" % data  # noqa: UP031
    config = data / "exim.conf"
    config.write_text("")
    process = await asyncio.to_thread(
        subprocess.run,
        ["exim4", "-C", str(config), "-be", expression],
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert process.stdout.rstrip(b"\n") == described(server).replace(b"\n", b"|"), process.stderr


async def test_a_reset_client_harms_nobody(data: Path, server: AuthServer) -> None:
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(str(data / "socket"))
        rude.sendall(b"ENUMERATE\n")
    assert await ask(data, b"PRE . smtp fred@example.test\n") == described(server)
