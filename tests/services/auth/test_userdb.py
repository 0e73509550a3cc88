"""The userdb module: Courier's text files as they stand."""

import os
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError, Quota
from restante.runtime import environment
from restante.userdb.records import index_paths
from services.auth.backends.userdb import UserdbBackend
from services.auth.backends.userdb_names import UserdbNames
from services.auth.names import NameRules
from services.auth.settings import AuthSettings

RULES = NameRules("example.test")
SHADOW = "userdbshadow.dat"
NAMES = UserdbNames("example.test")

LINES = """\
# accounts of the old machine
\t
fred@example.test\thome=/home/fred|uid=1001|gid=1002|systempw=$1$x$y|imappw={PLAIN}imap|gecos=F F,1
bare\thome=/home/bare|uid=1|gid=1|systempw=x|mail=./Mail/Inbox|quota=100S,2C|options=disableimap=1,group=a
Big@Example.TEST\tuid=7|gid=7|home=/home/big|hmac-md5pw=00|pop3-hmac-md5pw=11|pop3pw=p|mail=/abs/Maildir
bad@example.test\thome=/home/bad|uid=many|gid=1
no-home@example.test\tuid=1|gid=1
relative@example.test\thome=x|uid=1|gid=1
fred@example.test\thome=/home/other|uid=1|gid=1
1001=\tfred@example.test
"""


def write(path: Path, text: str, *, mode: int = 0o600, old: bool = True) -> Path:
    path.write_text(text)
    path.chmod(mode)
    if old:
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "userdb", LINES)


@pytest.fixture
def backend(path: Path) -> UserdbBackend:
    return UserdbBackend(path, NAMES)


async def test_fields(backend: UserdbBackend) -> None:
    fred = await backend.find(RULES.parse("FRED@example.test"))
    assert fred is not None
    account = fred.account
    assert (account.address, account.uid, account.gid) == ("fred@example.test", 1001, 1002)
    assert (account.home, account.maildir) == (Path("/home/fred"), Path("/home/fred/Maildir"))
    assert account.name == "F F"
    assert fred.password_for("imap") == "{PLAIN}imap"
    assert fred.password_for("pop3") == "$1$x$y"
    bare = await backend.find(RULES.parse("bare"))
    assert bare is not None
    assert bare.account.address == "bare@example.test"
    assert bare.account.maildir == Path("/home/bare/Mail/Inbox")
    assert bare.account.quota == Quota(100, 2)
    assert bare.account.options.all("group") == ("a",)
    big = await backend.find(RULES.parse("big@example.test"))
    assert big is not None
    assert big.account.maildir == Path("/abs/Maildir")
    assert big.password_for("pop3") == "p"
    assert big.password_for("imap") == ""
    assert set(big.service_passwords) == {"pop3"}
    assert big.contexts == {"hmac-md5": "00", "pop3-hmac-md5": "11"}


async def test_unknown_and_unreadable_differ(backend: UserdbBackend) -> None:
    assert await backend.find(RULES.parse("nobody@example.test")) is None
    assert await backend.find(RULES.parse("1001=")) is None
    for bad in ("bad", "no-home", "relative"):
        with pytest.raises(MailError) as caught:
            await backend.find(RULES.parse(bad))
        assert caught.value.kind is ErrorKind.TEMPORARY


async def test_enumeration_says_that_it_is_incomplete(backend: UserdbBackend) -> None:
    found = []

    async def run() -> None:
        async for record in backend.records():
            found.append(record.account.address)

    with pytest.raises(MailError) as caught:
        await run()
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert found == ["fred@example.test", "bare@example.test", "big@example.test"]


async def test_changes_are_seen_at_once(path: Path, backend: UserdbBackend) -> None:
    login = RULES.parse("ann")
    assert await backend.find(login) is None
    for n in range(1, 6):  # same size, same second: what a coarse look would miss
        write(path, f"ann\thome=/home/ann|uid={n}|gid=1\n", old=False)
        found = await backend.find(login)
        assert found is not None
        assert found.account.uid == n
    replacement = write(path.with_name("new"), "ann\thome=/home/ann|uid=9|gid=1\n")
    replacement.replace(path)
    found = await backend.find(login)
    assert found is not None
    assert found.account.uid == 9


async def test_nothing_is_read_while_nothing_changes(
    backend: UserdbBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.find(RULES.parse("fred"))
    monkeypatch.setattr("restante.userdb.source.contents", None)
    assert await backend.find(RULES.parse("fred")) is not None


async def temporary(backend: UserdbBackend) -> None:
    with pytest.raises(MailError) as caught:
        await backend.find(RULES.parse("fred"))
    assert caught.value.kind is ErrorKind.TEMPORARY


async def test_a_file_for_others_to_read_is_refused(path: Path, backend: UserdbBackend) -> None:
    for mode in (0o640, 0o604, 0o620, 0o601):
        path.chmod(mode)
        await temporary(backend)
    path.chmod(0o600)
    assert await backend.find(RULES.parse("fred")) is not None


async def test_symlinks_are_refused(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    await temporary(UserdbBackend(link, NAMES))


async def test_a_missing_file_is_a_fault(path: Path, backend: UserdbBackend) -> None:
    assert await backend.find(RULES.parse("fred")) is not None
    path.unlink()
    await temporary(backend)


async def test_directories(tmp_path: Path) -> None:
    top = tmp_path / "userdb"
    (top / "sub").mkdir(parents=True)
    (top / ".hidden").mkdir()
    for folder in (top, top / "sub", top / ".hidden"):
        folder.chmod(0o700)
    write(top / "a", "ann\thome=/home/ann|uid=1|gid=1\n")
    write(top / "sub/b", "bob\thome=/home/bob|uid=2|gid=1\n")
    write(top / ".c", "cat\thome=/home/cat|uid=3|gid=1\n")
    write(top / ".hidden/d", "dan\thome=/home/dan|uid=4|gid=1\n")
    backend = UserdbBackend(top, NAMES)
    names = sorted([record.account.address async for record in backend.records()])
    assert names == ["ann@example.test", "bob@example.test"]
    write(top / "sub/e", "eve\thome=/home/eve|uid=5|gid=1\n")
    assert await backend.find(RULES.parse("eve")) is not None
    (top / "sub").chmod(0o750)
    await temporary(backend)


def test_commands_change_what_the_service_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_environment: dict[str, Any] = {}
    monkeypatch.setenv("RESTANTE_DATA", str(tmp_path))
    assert environment.userdb() == AuthSettings(**from_environment).userdb
    monkeypatch.setenv("RESTANTE_AUTH_USERDB", "~/userdb")
    assert environment.userdb() == AuthSettings(**from_environment).userdb
    monkeypatch.setenv("RESTANTE_AUTH_USERDB_INDEX", "/etc/courier/userdb.dat")
    index = AuthSettings(**from_environment).userdb_index
    assert index is not None
    assert index_paths(index) == (Path(f"{environment.userdb()}.dat"), index.parent / SHADOW)
