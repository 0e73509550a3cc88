"""The modules mysql, pgsql and sqlite against tables of their servers, described as for Courier."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError, Quota
from restante.rpc.client import AuthClient
from services.auth.backends.asked import for_service
from services.auth.backends.base import PasswordChange, Record
from services.auth.backends.courier_sql import CourierSqlBackend
from services.auth.backends.courier_sql_servers import Servers
from services.auth.database.drivers import Limits
from services.auth.mechanisms.base import Attempt
from services.auth.names import Login, NameRules
from services.auth.passwords import schemes
from tests.contract.foreign_tables import ForeignTables, MysqlTables, PgsqlTables, SqliteTables
from tests.contract.postgres import Postgres
from tests.services.auth.conftest import make_settings, serving

RULES = NameRules()
FRED = RULES.parse("fred@example.test")

NASTY = (
    *("o'brien", "a''b", "'", "''", '"', 'x"y', "\\", "\\'", "\\\\'", "x\\"),
    *("' OR '1'='1", '" OR "1"="1', "x' OR 1=1 -- ", "x'; DROP TABLE passwd; -- ", "\\' OR 1=1#"),
    *("%", "%s", "%%", "%(x)s", "a%_b", ":x", "?", "$(domain)", "$1", "`", "x\ny", "ü\U0001f4ec"),
)


@pytest.fixture(params=["mysql", "pgsql", "sqlite"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> ForeignTables:
    if request.param == "mysql":
        return MysqlTables(request.getfixturevalue("mariadb"), tmp_path)
    if request.param == "pgsql":
        return PgsqlTables(request.getfixturevalue("postgres"), tmp_path)
    return SqliteTables(tmp_path)


Make = Callable[..., CourierSqlBackend]


@pytest.fixture
async def make(tables: ForeignTables) -> AsyncIterator[Make]:
    made = []

    def run(rules: NameRules = RULES, **changes: Any) -> CourierSqlBackend:
        backend = tables.backend(rules, **changes)
        made.append(backend)
        return backend

    yield run
    for backend in made:
        await backend.close()


async def found(backend: CourierSqlBackend, name: str = "fred@example.test") -> Record:
    record = await backend.find(RULES.parse(name))
    assert record is not None
    return record


async def kind_of(awaited: Any) -> ErrorKind:
    with pytest.raises(MailError) as caught:
        await awaited
    return caught.value.kind


async def test_a_row_as_courier_reads_it(tables: ForeignTables, make: Make) -> None:
    tables.add(
        "fred@example.test",
        crypt="$6$x",
        clear="c",
        name="Frède F, room 1",
        home="/home/fred",
        maildir="mail/box",
        quota="5S,2C",
        options="disableimap=1,group=a",
    )
    tables.add("ann@example.test", clear="secret")
    backend = make(domain="example.test")
    await backend.open()
    record = await found(backend)
    account = record.account
    assert account.address == "fred@example.test"
    assert (account.uid, account.gid, account.name) == (1001, 1002, "Frède F")
    assert (account.home, account.maildir) == (Path("/home/fred"), Path("/home/fred/mail/box"))
    assert account.quota == Quota(5, 2)
    assert str(account.options) == "disableimap=1,group=a"
    assert (record.password, record.clear) == ("$6$x", "c")
    ann = await found(backend, "ann")  # DEFAULT_DOMAIN
    assert ann.account.address == "ann@example.test"
    assert ann.account.maildir == ann.account.home / "Maildir"
    assert schemes.verify(ann.password, b"secret")
    assert ann.clear == "secret"
    for other in ("nobody@example.test", "fred@other.test", "nobody"):
        assert await backend.find(RULES.parse(other)) is None
    assert "secret" not in repr(ann)


async def test_a_bare_name_where_no_domain_is_said(tables: ForeignTables, make: Make) -> None:
    tables.add("fred", crypt="x")
    assert (await found(make(), "fred")).account.address == "fred"


async def test_without_a_password_nobody_comes_in(tables: ForeignTables, make: Make) -> None:
    tables.add("fred@example.test")
    assert (await found(make())).password == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"home": ""},
        {"home": "home/fred"},
        {"home": None},
        {"uid": None},
        {"uid": "x"},
        {"gid": ""},
        {"gid": "-1"},
        {"uid": "4294967295"},
        {"quota": "much"},
    ],
)
async def test_a_bad_row_is_a_fault_and_not_unknown(
    tables: ForeignTables, make: Make, fields: dict[str, object]
) -> None:
    """Courier takes a missing uid for 0, which is root's."""
    tables.add("fred@example.test", **fields)
    tables.add("ann@example.test")
    backend = make()
    assert await kind_of(backend.find(FRED)) is ErrorKind.TEMPORARY
    assert (await found(backend, "ann@example.test")).account.uid == 1001
    if "quota" not in fields:  # it is not asked for in a list
        listed: list[str] = []
        with pytest.raises(MailError):
            await collect(backend, listed)
        assert listed == ["ann@example.test"]


async def collect(backend: CourierSqlBackend, into: list[str]) -> None:
    async for record in backend.records():
        into.append(record.account.address)


async def test_where_clause_and_expressions(tables: ForeignTables, make: Make) -> None:
    tables.add("fred@example.test", server="a", options="1")
    tables.add("ann@example.test", server="b")
    options = tables.concat(["'disableimap='", "options", "',group=g'"])
    backend = make(WHERE_CLAUSE="server='b' OR server='a%' OR server='a'", AUXOPTIONS_FIELD=options)
    assert str((await found(backend)).account.options) == "disableimap=1,group=g"
    only = make(WHERE_CLAUSE="server='b'")
    assert await only.find(FRED) is None
    assert not await only.set_password(FRED, PasswordChange(b"new", "x"))
    assert {r.account.address async for r in only.records()} == {"ann@example.test"}


SELECT = (
    "SELECT '$(local_part)@$(domain)', '', clear, uid, gid, home, '', '5S', name,\\\n"
    "   '%s' FROM passwd \\\n WHERE id = '$(local_part)' AND server = '$(domain)'"
)


async def test_select_clause(tables: ForeignTables, make: Make) -> None:
    tables.add("fred", server="example.test", name="Fred", clear="c")
    tables.add("ann", server="default.test")
    backend = make(SELECT_CLAUSE=SELECT % "a=1", USER_TABLE=None, domain="default.test")
    record = await found(backend)
    account = record.account
    assert (account.address, account.name, account.quota) == ("fred@example.test", "Fred", Quota(5))
    assert str(account.options) == "a=1"
    assert (await found(backend, "ann")).account.address == "ann@default.test"
    assert await backend.find(RULES.parse("ann@example.test")) is None
    assert not await backend.set_password(FRED, PasswordChange(b"new", "x"))
    with pytest.raises(MailError):  # nothing says how to list
        await anext(aiter(backend.records()))


async def test_select_clause_with_too_few_columns_or_too_many_rows(
    tables: ForeignTables, make: Make
) -> None:
    tables.add("a")
    tables.add("b")
    few = make(SELECT_CLAUSE="SELECT id, crypt, clear, uid, gid FROM passwd WHERE id='a'")
    assert await kind_of(few.find(FRED)) is ErrorKind.TEMPORARY
    many = make(SELECT_CLAUSE="SELECT id, crypt, clear, uid, gid, home FROM passwd")
    assert await kind_of(many.find(FRED)) is ErrorKind.TEMPORARY
    exact = "SELECT id, crypt, clear, uid, gid, home FROM passwd WHERE id='a'"
    for clause in (exact, f"{exact} UNION ALL {exact}"):  # the same row again is no doubt
        record = await found(make(SELECT_CLAUSE=clause))
        assert record.account.address == "a@example.test"


async def test_an_alias_leads_to_the_account_by_its_own_name(
    tables: ForeignTables, make: Make
) -> None:
    tables.add("fred@example.test", server="postmaster")
    clause = (
        "SELECT id, crypt, clear, uid, gid, home FROM passwd"
        " WHERE id = '$(local_part)@$(domain)' OR server = '$(local_part)'"
    )
    record = await found(make(SELECT_CLAUSE=clause), "postmaster@example.test")
    assert record.account.address == "fred@example.test"


async def test_the_service_may_decide(tables: ForeignTables, make: Make) -> None:
    tables.add("fred@example.test", server="imap")
    clause = (
        "SELECT id, crypt, clear, uid, gid, home FROM passwd"
        " WHERE id = '$(local_part)@$(domain)' AND ('$(service)' = '' OR server = '$(service)')"
    )
    backend = make(SELECT_CLAUSE=clause)
    await found(backend)
    with for_service("imap"):
        await found(backend)
    with for_service("pop3"):
        assert await backend.find(FRED) is None


async def test_no_name_is_ever_a_part_of_a_statement(tables: ForeignTables, make: Make) -> None:
    for number, name in enumerate(NASTY):
        tables.add(name, uid=str(number), server=name[::-1])
        tables.add(f"{name}@d", uid=str(1000 + number))
    start = "SELECT 'x@d.test', '', '', uid, gid, '/h' FROM passwd WHERE "
    clauses = {
        "id = '$(local_part)'": 0,
        "id = $(local_part)": 0,
        "id = '$(local_part)@d'": 1000,
        "id = '$(local_part)' AND server = '$(domain)'": 0,
    }
    for clause, offset in clauses.items():
        backend = make(SELECT_CLAUSE=start + clause)
        for number, name in enumerate(NASTY):
            record = await backend.find(Login(name, name, name[::-1]))
            assert record is not None, (clause, name)
            assert record.account.uid == offset + number
        assert await backend.find(Login("", "x' OR uid='1", "x' OR uid='1")) is None
    assert len(tables.execute("SELECT id FROM passwd")) == 2 * len(NASTY)


async def test_odd_names_of_a_plain_table(tables: ForeignTables, make: Make) -> None:
    names = [f"{odd}@d.test" for odd in ("o'brien", "%", "a%_b", "?", "`", "$1", "ü", "{x}", "#")]
    for number, name in enumerate(names):
        tables.add(name, uid=str(number))
    backend = make()
    for number, name in enumerate(names):
        record = await found(backend, name)
        assert (record.account.address, record.account.uid) == (name, number)


async def test_no_password_is_ever_a_part_of_a_statement(tables: ForeignTables, make: Make) -> None:
    tables.add("fred@example.test", crypt="old", clear="old")
    tables.add("ann@example.test", crypt="old", clear="old")
    chpass = (
        "UPDATE passwd SET clear = '$(newpass)', crypt = '$(newpass_crypt)'"
        " WHERE id = '$(local_part)@$(domain)'"
    )
    for backend in (make(), make(CHPASS_CLAUSE=chpass)):
        for password in (*NASTY, "', crypt='x' WHERE 1=1 -- ", "x' WHERE 1=1 #"):
            change = PasswordChange(password.encode(), "hash")
            assert await backend.set_password(FRED, change), password
            stored = tables.passwords()
            assert stored["ann@example.test"] == ("old", "old")
            assert stored["fred@example.test"][1] == password
            assert schemes.verify(stored["fred@example.test"][0], password.encode())


async def test_new_passwords(tables: ForeignTables, make: Make) -> None:
    tables.add("fred@example.test", crypt="old", clear="old")
    change = PasswordChange(b"new", "$argon2id$x")
    assert await make(CLEAR_PWFIELD=None).set_password(FRED, change)
    hashed, clear = tables.passwords()["fred@example.test"]
    assert clear == "old"
    assert hashed.startswith("$6$")
    assert await make(scheme="argon2id").set_password(FRED, change)
    assert tables.passwords()["fred@example.test"] == ("$argon2id$x", "new")
    # The same again is no "no such row".
    assert await make(scheme="argon2id").set_password(FRED, change)
    assert await make(CRYPT_PWFIELD=None).set_password(FRED, PasswordChange(b"n2", "h"))
    assert tables.passwords()["fred@example.test"] == ("$argon2id$x", "n2")
    assert not await make().set_password(RULES.parse("x@example.test"), change)
    not_utf8 = make().set_password(FRED, PasswordChange(b"\xff", "h"))
    assert await kind_of(not_utf8) is ErrorKind.CANNOT


@pytest.mark.parametrize("tables", ["mysql", "pgsql"], indirect=True)
async def test_a_column_that_is_too_short_keeps_what_it_has(
    tables: ForeignTables, make: Make
) -> None:
    tables.execute("ALTER TABLE passwd ADD COLUMN short VARCHAR(10)")
    tables.add("fred@example.test", short="old")
    backend = make(CRYPT_PWFIELD="short")
    change = PasswordChange(b"new", "h")
    assert await kind_of(backend.set_password(FRED, change)) is ErrorKind.TEMPORARY
    assert tables.execute("SELECT short FROM passwd") == [("old",)]


async def test_lists(tables: ForeignTables, make: Make) -> None:
    for number in range(20):
        tables.add(f"u{number}@example.test", options="a=1", maildir="m")
    wanted = {f"u{number}@example.test" for number in range(20)}
    backend = make(domain="example.test")
    records = [record async for record in backend.records()]
    assert {record.account.address for record in records} == wanted
    account = records[0].account
    assert (account.uid, account.maildir) == (1001, account.home / "m")
    assert str(account.options) == "a=1"
    concat = tables.concat(["'$(local_part)|$(domain)|$(service)|'", "id"])
    clause = f"SELECT {concat}, uid, gid, home FROM passwd WHERE id = 'u1@example.test'"
    listed = [r async for r in make(domain="d.test", ENUMERATE_CLAUSE=clause).records()]
    assert [r.account.address for r in listed] == ["*|d.test|enumerate|u1@example.test"]
    assert str(listed[0].account.options) == ""


MANY = {
    "mysql": "SELECT CONCAT('u', seq, '@d.test'), 5, 6, CONCAT('/', REPEAT('x', 3000))"
    " FROM seq_1_to_30000",
    "pgsql": "SELECT 'u' || n || '@d.test', 5, 6, '/' || REPEAT('x', 3000)"
    " FROM GENERATE_SERIES(1, 30000) AS n",
    "sqlite": "WITH RECURSIVE t(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM t WHERE n < 30000)"
    " SELECT 'u' || n || '@d.test', 5, 6, '/' || REPLACE(HEX(ZEROBLOB(1500)), '0', 'x') FROM t",
}


def memory() -> int:
    """Return the most memory this process had since the last call, in bytes."""
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(peak.split()[1]) * 1024


@pytest.mark.slow
async def test_a_list_needs_no_memory(tables: ForeignTables, make: Make) -> None:
    """90 MB come by, and are not held."""
    backend = make(ENUMERATE_CLAUSE=MANY[tables.name])
    before = memory()
    before = memory()
    count = 0
    async for _ in backend.records():
        count += 1
    assert count == 30000
    assert memory() - before < 40_000_000


async def test_a_list_may_be_left(tables: ForeignTables, make: Make) -> None:
    tables.add("fred@example.test")
    backend = make(ENUMERATE_CLAUSE=MANY[tables.name], limits=Limits(connections=1))
    for _ in range(3):
        async with contextlib.aclosing(backend.records()) as records:
            await anext(records)
    await found(backend)


async def test_logins_go_on_while_somebody_lists(tables: ForeignTables, make: Make) -> None:
    tables.add("fred@example.test")
    backend = make(ENUMERATE_CLAUSE=MANY[tables.name], limits=Limits(connections=1))
    async with contextlib.aclosing(backend.records()) as records:
        await anext(records)
        await found(backend)


@pytest.mark.parametrize("tables", ["mysql", "pgsql"], indirect=True)
async def test_a_dead_server_is_temporary_and_a_new_one_is_found(
    tables: MysqlTables | PgsqlTables, make: Make
) -> None:
    tables.add("fred@example.test")
    backend = make()
    await found(backend)
    try:
        tables.server.kill()
        for name in ("fred@example.test", "nobody@example.test"):
            assert await kind_of(backend.find(RULES.parse(name))) is ErrorKind.TEMPORARY
        with pytest.raises(MailError):
            await anext(aiter(backend.records()))
    finally:
        tables.server.start()
    await found(backend)
    tables.server.kill()
    tables.server.start()
    await found(backend)  # the dead connections of the pool are nobody's business


async def test_a_missing_file_or_table_is_temporary_until_it_is_there(
    tables: ForeignTables, make: Make
) -> None:
    tables.add("fred@example.test")
    backend = make(USER_TABLE="nothing")
    assert await kind_of(backend.find(FRED)) is ErrorKind.TEMPORARY
    backend = make()
    tables.rc.unlink()
    assert await kind_of(backend.open()) is ErrorKind.TEMPORARY
    assert await kind_of(backend.find(FRED)) is ErrorKind.TEMPORARY
    tables.describe()
    await found(backend)


async def test_a_missing_sqlite_file_is_not_made(tmp_path: Path) -> None:
    tables = SqliteTables(tmp_path)
    tables.path.unlink()
    backend = tables.backend(RULES)
    assert await kind_of(backend.find(FRED)) is ErrorKind.TEMPORARY
    assert not tables.path.exists()
    await backend.close()


async def test_a_clause_that_cannot_be_bound_is_refused(tables: ForeignTables, make: Make) -> None:
    tables.add("fred@example.test")
    backend = make(SELECT_CLAUSE="SELECT id, '', '', 1, 1, '/h' FROM users_$(domain)")
    assert await kind_of(backend.find(FRED)) is ErrorKind.TEMPORARY


async def test_several_hosts_of_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    tables = PgsqlTables(postgres, tmp_path)
    tables.add("fred@example.test")
    lines = tables.connection_lines()["CONNECTION"].replace("host=", "host=/nonexistent,")
    backend = tables.backend(RULES, CONNECTION=lines)
    await found(backend)
    await backend.close()


async def test_the_names_of_older_files(postgres: Postgres, tmp_path: Path) -> None:
    tables = PgsqlTables(postgres, tmp_path)
    tables.add("fred@example.test")
    host = tables.connection_lines()["CONNECTION"].split()[0].removeprefix("host=")
    old: dict[str, Any] = {
        "HOST": host,
        "USERNAME": "restante",
        "PORT": "0",
        "DATABASE": tables.database,
    }
    backend = tables.backend(RULES, CONNECTION=None, **old)
    await found(backend)
    await backend.close()


def test_the_next_server_is_taken_and_the_dead_one_left_aside(tmp_path: Path) -> None:
    import sqlite3

    tries: list[str] = []
    dead = {"a"}

    def connect(name: str) -> sqlite3.Connection:
        tries.append(name)
        if name in dead:
            raise sqlite3.OperationalError("down")
        return sqlite3.connect(tmp_path / "x", check_same_thread=False)

    servers = Servers("sqlite", [(n, partial(connect, n)) for n in "abc"], Limits(aside=60))
    for _ in range(3):
        with servers.streaming_engine().connect():
            pass
    assert tries == ["a", "b", "b", "b"]
    dead |= {"b", "c"}
    with pytest.raises(Exception, match="down"), servers.streaming_engine().connect():
        pass
    assert tries[4:] == ["b", "c", "a"]  # whoever failed is still asked, last
    dead.clear()
    with servers.streaming_engine().connect():
        pass
    servers.close()


async def test_the_whole_way(tables: ForeignTables, tmp_path: Path) -> None:
    """A login, a change of the password by its owner, and Courier's name of the module."""
    tables.add("fred@example.test", clear="secret")
    tables.describe(CRYPT_PWFIELD=None)
    settings = make_settings(
        tmp_path, modules=f"auth{tables.name}", **{f"{tables.name}rc": tables.rc}
    )
    async with serving(settings) as server:
        client = AuthClient(str(server.settings.listen))
        account = await client.authenticate("fred@example.test", "secret", service="imap")
        assert account.home == Path("/home/fred@example.test")
        bad = client.authenticate("fred@example.test", "wrong", service="imap")
        assert await kind_of(bad) is ErrorKind.AUTH_FAILED
        new = "a long enough passphrase"
        attempt = Attempt("fred@example.test", b"secret", "webmail")
        await server.authenticator.change_password(attempt, new.encode())
        await client.authenticate("fred@example.test", new, service="imap")
        assert tables.passwords()["fred@example.test"][1] == new
        many = [client.authenticate("fred@example.test", new, service="imap") for _ in range(16)]
        assert len(await asyncio.gather(*many)) == 16
        await client.close()
