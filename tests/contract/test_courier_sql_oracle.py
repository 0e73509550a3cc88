"""Debian's authdaemond and ours on the same tables, by the same files: the answers are the same.

Not compared: PASSWD2, the clear password, which we never give away; lines without a value.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from restante.runtime.libcrypt import crypt
from restante.runtime.settings import ListenAddress
from tests.contract.courier import CourierRoom, authdaemond, courier_room
from tests.contract.foreign_tables import ForeignTables, MysqlTables, PgsqlTables, SqliteTables
from tests.services.auth.conftest import make_settings, serving

pytestmark = pytest.mark.slow


@pytest.fixture(params=["mysql", "pgsql", "sqlite"])
def tables(request: pytest.FixtureRequest) -> Iterator[ForeignTables]:
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        folder = Path(name)
        folder.chmod(0o777)  # authdaemond is another user
        if request.param == "mysql":
            yield MysqlTables(request.getfixturevalue("mariadb"), folder)
        elif request.param == "pgsql":
            yield PgsqlTables(request.getfixturevalue("postgres"), folder)
        else:
            made = SqliteTables(folder)
            made.path.chmod(0o666)
            yield made


@pytest.fixture
def room() -> Iterator[CourierRoom]:
    with courier_room() as found:
        yield found


class Both:
    """The two services on the same file."""

    def __init__(self, room: CourierRoom, ours: Path) -> None:
        self.sockets = (room.socket, ours)
        self._log = room.log

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        theirs, ours = [await _ask(path, request) for path in self.sockets]
        return theirs, ours

    async def agree(self, request: bytes) -> None:
        theirs, ours = map(_comparable, await self.ask(request))
        assert ours == theirs, (request, self._log())

    async def same_list(self) -> int:
        """Compare the lists; return how many accounts they have."""
        theirs, ours = map(_accounts, await self.ask(b"ENUMERATE\n"))
        assert ours == theirs
        return len(ours)

    async def login(self, user: str, password: str) -> list[bool]:
        body = f"imap\nlogin\n{user}\n{password}\n".encode()
        answers = await self.ask(b"AUTH %d\n%s" % (len(body), body))
        return [b"ADDRESS=" in answer for answer in answers]


async def _ask(path: Path, request: bytes) -> bytes:
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(request)
        answer = b""
        while not answer.endswith((b".\n", b"FAIL\n", b"OK\n")):
            piece = await reader.read(65536)
            if not piece:
                break
            answer += piece
        writer.close()
    return answer


def _comparable(answer: bytes) -> dict[bytes, bytes]:
    """Return the fields that say something; a folder is the same by another name."""
    lines = [line.partition(b"=") for line in answer.split(b"\n")]
    fields = {key: value for key, _, value in lines if key != b"PASSWD2"}
    if home := fields.get(b"HOME"):
        fields[b"MAILDIR"] = os.path.join(home, fields.get(b"MAILDIR") or b"Maildir")
    return {key: value for key, value in fields.items() if value or key in (b".", b"FAIL")}


def _accounts(answer: bytes) -> list[tuple[bytes, ...]]:
    assert answer.endswith(b"\n.\n")
    rows = [line.split(b"\t") for line in answer.split(b"\n") if b"\t" in line]
    return sorted(
        (name, uid, gid, home, os.path.join(home, maildir or b"Maildir"), options)
        for name, uid, gid, home, maildir, options in rows
    )


Start = Callable[..., Awaitable["Both"]]


@pytest.fixture
async def start(tables: ForeignTables, room: CourierRoom) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def run(**changes: str | None) -> Both:
            tables.describe(domain="example.test", **changes)
            copy = room.config / tables.rc.name
            copy.write_text(tables.rc.read_text())
            copy.chmod(0o644)
            room.start(authdaemond(tables.name))
            room.wait_for(room.socket)
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rst")))
            socket = data / "d"
            settings = make_settings(
                data,
                modules=tables.name,
                authdaemon_listen=ListenAddress(path=str(socket)),
                authdaemon_passwords=True,
                default_domain="example.test",
                **{f"{tables.name}rc": tables.rc},
            )
            await stack.enter_async_context(serving(settings))
            return Both(room, socket)

        yield run


def hashed(password: bytes) -> str:
    made = crypt(password, b"$6$rounds=1000$salt")
    assert made is not None
    return made.decode()


async def test_the_plain_table(tables: ForeignTables, start: Start) -> None:
    tables.add(
        "fred@example.test",
        crypt=hashed(b"secret"),
        clear="not this one",
        name="Fred F, room 1",
        home="/home/fred",
        maildir="mail",
        quota="5S",
        options="disableimap=1,group=a",
        server="a",
    )
    tables.add("o'brien@example.test", clear="it's 100%\\", server="b")
    tables.add("else@example.test", clear="x", server="c")
    options = tables.concat(["'a=1,'", "COALESCE(options, 'b=2')"])
    both = await start(WHERE_CLAUSE="server='a' OR \\\n   server='b'", AUXOPTIONS_FIELD=options)
    for user in ("fred", "fred@example.test", "o'brien@example.test", "else", "nobody@x.test"):
        await both.agree(f"PRE . imap {user}\n".encode())
    assert await both.login("fred", "secret") == [True, True]
    assert await both.login("fred", "not this one") == [False, False]
    assert await both.login("o'brien", "it's 100%\\") == [True, True]
    assert await both.same_list() == 2
    # Whoever changes a password, the other can read it.
    theirs, ours = both.sockets
    assert await _ask(theirs, b"PASSWD imap\tfred\tsecret\tfrom courier 1\n") == b"OK\n"
    assert await both.login("fred", "from courier 1") == [True, True]
    assert await _ask(ours, b"PASSWD imap\tfred\tfrom courier 1\tfrom restante 2\n") == b"OK\n"
    assert await both.login("fred", "from restante 2") == [True, True]
    assert await both.login("fred", "from courier 1") == [False, False]


async def test_whole_clauses(tables: ForeignTables, start: Start) -> None:
    tables.add("fred", server="example.test", clear="secret", options="imap", crypt="")
    tables.add("ann", server="other.test", clear="secret", options="pop3", crypt="")
    address = tables.concat(["id", "'@'", "server"])
    both = await start(
        SELECT_CLAUSE=f"SELECT {address}, '', clear, uid, gid, '/h', '', '', '', 'x=1' \\\n"
        " FROM passwd WHERE id = '$(local_part)' AND server = '$(domain)' \\\n"
        " AND options LIKE '%$(service)%'",
        ENUMERATE_CLAUSE=f"SELECT {address}, uid, gid, '/h', '', '' FROM passwd"
        " WHERE '$(local_part)$(service)' = '*enumerate'",
        CHPASS_CLAUSE="UPDATE passwd SET clear = '$(newpass)' \\\n"
        " WHERE id = '$(local_part)' AND server = '$(domain)'",
    )
    for user in ("fred", "ann@other.test", "ann", "x' OR '1'='1"):
        for service in ("imap", "pop3"):
            await both.agree(f"PRE . {service} {user}\n".encode())
    assert await both.same_list() == 2
    theirs, ours = both.sockets
    assert await both.login("fred", "secret") == [True, True]
    assert await _ask(ours, b"PASSWD imap\tfred\tsecret\tone 'two' \\ 3 %s\n") == b"OK\n"
    assert await both.login("fred", "one 'two' \\ 3 %s") == [True, True]
    assert await _ask(theirs, b"PASSWD imap\tfred\tone 'two' \\ 3 %s\tplain 4 words\n") == b"OK\n"
    assert await both.login("fred", "plain 4 words") == [True, True]
    assert tables.passwords()["ann"][1] == "secret"
