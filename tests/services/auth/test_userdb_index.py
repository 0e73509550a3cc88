"""The userdb module on indexed files: userdb.dat and userdbshadow.dat."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.client import AuthClient
from restante.rpc.revocation import Reason, Revocation
from restante.userdb.gdbm import Gdbm
from restante.userdb.make import make
from services.auth import userdb_changes
from services.auth.backends.base import Record
from services.auth.backends.userdb import UserdbBackend
from services.auth.backends.userdb_index import UserdbIndexBackend
from services.auth.backends.userdb_names import UserdbNames
from services.auth.names import NameRules
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.watching import watching

RULES = NameRules("example.test")
NAMES = UserdbNames("example.test")

FRED = "fred@example.test\thome=/home/fred|uid=1001|gid=1002|systempw={PLAIN}secret|imappw=i\n"
TEXT = f"""\
{FRED}1001=\tfred@example.test
bare\thome=/home/bare|uid=1|gid=1|systempw=x|hmac-md5pw=00|quota=100S
open@example.test\thome=/home/open|uid=2|gid=2
"""
BAD = "bad@example.test\thome=/home/bad|uid=many|gid=1\nno tab\n"


def build(folder: Path, text: str) -> Path:
    """Make the files of a text; return the path of the first."""
    top = folder / "userdb"
    top.touch(0o600)
    top.write_text(text)
    make(top)
    return folder / "userdb.dat"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build(tmp_path, TEXT)


@pytest.fixture
def backend(path: Path) -> UserdbIndexBackend:
    return UserdbIndexBackend(path, NAMES)


async def listed(backend: UserdbBackend | UserdbIndexBackend) -> dict[str, Record]:
    return {record.account.address: record async for record in backend.records()}


async def temporary(backend: UserdbIndexBackend, name: str = "fred") -> None:
    with pytest.raises(MailError) as caught:
        await backend.find(RULES.parse(name))
    assert caught.value.kind is ErrorKind.TEMPORARY


async def test_the_same_accounts_as_the_text(tmp_path: Path, backend: UserdbIndexBackend) -> None:
    text = UserdbBackend(tmp_path / "userdb", NAMES)
    await backend.open()
    for name in ("fred", "FRED@Example.test", "bare", "bare@example.test", "open", "nobody"):
        login = RULES.parse(name)
        assert await backend.find(login) == await text.find(login)
    assert await listed(backend) == await listed(text)
    assert len(await listed(backend)) == 3
    fred = await backend.find(RULES.parse("fred"))
    assert fred is not None
    assert (fred.password_for("imap"), fred.password_for("pop3")) == ("i", "{PLAIN}secret")
    bare = await backend.find(RULES.parse("bare"))
    assert bare is not None
    assert bare.contexts == {"hmac-md5": "00"}
    assert await backend.find(RULES.parse("1001=")) is None
    assert await backend.find(RULES.parse("bare@other.test")) is None
    await backend.close()
    assert await backend.find(RULES.parse("bare")) is not None


async def test_bad_records(tmp_path: Path) -> None:
    backend = UserdbIndexBackend(build(tmp_path, TEXT + BAD), NAMES)
    await temporary(backend, "bad")
    assert await backend.find(RULES.parse("fred")) is not None
    found = []

    async def run() -> None:
        async for record in backend.records():
            found.append(record.account.address)

    with pytest.raises(MailError) as caught:
        await run()
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert len(found) == 3


async def test_replaced_files_are_seen_at_once(tmp_path: Path, backend: UserdbIndexBackend) -> None:
    login = RULES.parse("ann")
    assert await backend.find(login) is None
    for n in range(1, 6):
        build(tmp_path, f"ann\thome=/home/ann|uid={n}|gid=1|systempw=p{n}\n")
        found = await backend.find(login)
        assert found is not None
        assert (found.account.uid, found.password) == (n, f"p{n}")
    assert await backend.find(RULES.parse("fred")) is None


async def test_files_that_others_may_touch_are_refused(
    path: Path, backend: UserdbIndexBackend
) -> None:
    shadow = path.with_name("userdbshadow.dat")
    for file, good, modes in (
        (shadow, 0o600, (0o640, 0o604, 0o620, 0o602, 0o601)),
        (path, 0o644, (0o664, 0o646)),
    ):
        for mode in modes:
            file.chmod(mode)
            await temporary(backend)
        file.chmod(good)
        assert await backend.find(RULES.parse("fred")) is not None


async def test_symlinks_and_missing_files(path: Path, backend: UserdbIndexBackend) -> None:
    for file in (path, path.with_name("userdbshadow.dat")):
        moved = file.rename(file.with_name("moved"))
        await temporary(backend)
        file.symlink_to(moved)
        await temporary(backend)
        file.unlink()
        moved.rename(file)
        assert await backend.find(RULES.parse("fred")) is not None


async def test_damaged_files_are_a_fault(path: Path, backend: UserdbIndexBackend) -> None:
    whole = path.read_bytes()
    assert await backend.find(RULES.parse("fred")) is not None
    for data in (whole[: len(whole) // 2], b"", b"x" * len(whole)):
        path.write_bytes(data)
        await temporary(backend)
        with pytest.raises(MailError):
            await listed(backend)
    path.write_bytes(whole)
    assert await backend.find(RULES.parse("fred")) is not None


async def test_a_missing_library_stops_nothing_else(
    path: Path, backend: UserdbIndexBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restante.userdb.gdbm._library", None)
    monkeypatch.setattr("restante.userdb.gdbm.LIBRARY", "libnothing.so.0")
    with pytest.raises(MailError, match="libgdbm6"):
        await backend.open()


async def test_threads_and_cancelled_tasks(tmp_path: Path) -> None:
    lines = "".join(f"u{n}\thome=/h/{n}|uid={n + 1}|gid=1|systempw=x\n" for n in range(3000))
    backend = UserdbIndexBackend(build(tmp_path, lines), NAMES)

    async def give_up() -> None:
        async for _ in backend.records():
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(give_up()) for _ in range(8)]
    found = await asyncio.gather(*(backend.find(RULES.parse(f"u{n}")) for n in range(200)))
    assert all(record is not None for record in found)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(await listed(backend)) == 3000


def settings_of(data: Path, **changes: Any) -> Any:
    return make_settings(data, modules="userdb", userdb_index=data / "userdb.dat", **changes)


async def test_logins(data: Path) -> None:
    build(data, FRED)
    settings = settings_of(data, default_domain="example.test")
    async with serving(settings):
        client = AuthClient(str(settings.listen))
        try:
            assert (await client.authenticate("fred", "secret", service="pop3")).uid == 1001
            with pytest.raises(MailError) as caught:
                await client.authenticate("fred", "secret", service="imap")
            assert caught.value.kind is ErrorKind.AUTH_FAILED
            (data / "userdbshadow.dat").chmod(0o644)
            with pytest.raises(MailError) as caught:
                await client.authenticate("fred", "secret", service="pop3")
            assert caught.value.kind is ErrorKind.TEMPORARY
        finally:
            await client.close()


def line(name: str, password: str = "x", **fields: str) -> str:
    more = "".join(f"|{key}={value}" for key, value in fields.items())
    return f"{name}\tuid=1|gid=1|home=/h/{name}|systempw={password}{more}\n"


async def test_changes_are_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(data, line("fred") + line("ann"))
    settings = settings_of(data)
    async with serving(settings), watching(str(settings.listen)) as watcher:
        await watcher.synced()
        build(data, line("fred", "new") + line("ann"))
        assert await watcher.revocation() == Revocation("fred", Reason.PASSWORD)
        build(data, line("fred", "new") + line("ann", **{"hmac-md5pw": "00"}))
        assert await watcher.revocation() == Revocation("ann", Reason.PASSWORD)
        build(data, line("ann", quota="5S", **{"hmac-md5pw": "00"}))
        told = {await watcher.revocation(), await watcher.revocation()}
        assert told == {Revocation("fred", Reason.REMOVED), Revocation("ann", Reason.CHANGED)}
        build(data, line("ann", quota="5S", **{"hmac-md5pw": "00"}) + line("bob"))
        assert await watcher.revocation() == Revocation("bob", Reason.CHANGED)
        # Nothing but the order of fields and lines: nobody is told, nobody is thrown out.
        build(
            data, line("bob") + "ann\thmac-md5pw=00|quota=5S|systempw=x|home=/h/ann|gid=1|uid=1\n"
        )
        (data / "userdb.dat").chmod(0o666)
        assert await watcher.revocation() == Revocation("", Reason.CHANGED)
        (data / "userdb.dat").chmod(0o644)
        monkeypatch.setattr(userdb_changes, "_PAGE", 1)
        build(data, line("bob", "new") + line("ann", quota="5S", **{"hmac-md5pw": "00"}))
        assert await watcher.revocation() == Revocation("", Reason.CHANGED)
        assert await watcher.revocation() == Revocation("bob", Reason.PASSWORD)


async def test_writing_into_a_file_is_noticed(data: Path) -> None:
    path = build(data, line("fred"))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    settings = settings_of(data)
    async with serving(settings), watching(str(settings.listen)) as watcher:
        await watcher.synced()
        other = data / "other.dat"
        with Gdbm(other, create=0o600) as file:
            file.insert(b"fred", b"uid=2|gid=2|home=/h/fred|_=")
        path.write_bytes(other.read_bytes())
        assert await watcher.revocation() == Revocation("", Reason.CHANGED)
