"""An owner changes his password, which stands in userdb."""

import os
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError
from restante.rpc.revocation import Reason, Revocation
from restante.userdb import edit
from restante.userdb.make import BERKELEY, GDBM, make
from restante.wire import hmac_state
from services.auth.backends.base import PasswordChange, Record
from services.auth.backends.userdb import UserdbBackend
from services.auth.backends.userdb_index import UserdbIndexBackend
from services.auth.backends.userdb_names import UserdbNames
from services.auth.backends.userdb_passwords import new_fields
from services.auth.mechanisms.base import Attempt
from services.auth.names import NameRules
from services.auth.passwords import schemes
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.selfservice.owner import owner_at
from tests.services.auth.watching import watching

RULES = NameRules("example.test")
NAMES = UserdbNames("example.test")
CHANGE = PasswordChange(b"new password", "{PLAIN}new password", b"secret")
MD5, NEW_MD5 = (hmac_state.contexts("md5", text) for text in (b"secret", b"new password"))

HASH = "$1$salt$ez2vlPGdaLYkJam5pWs/Y1"  # of "secret"
TEXT = f"""\
# accounts
ann\thome=/home/ann|uid=1|gid=1|systempw={{SHA}}x
{{}}@example.test\thome=/home/fred|uid=2|gid=2|systempw={HASH}|hmac-md5pw={MD5}
"""


def write(top: Path, name: str = "Fred") -> Path:
    top.touch(0o600)
    top.write_text(TEXT.replace("{}", name))
    return top


@pytest.fixture(params=["text", "directory", "index"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> UserdbBackend | UserdbIndexBackend:
    top = tmp_path / "userdb"
    if request.param == "directory":
        (top / "sub").mkdir(parents=True, mode=0o700)
        top.chmod(0o700)
        write(top / "sub/file")
        return UserdbBackend(top, NAMES, writable=True)
    write(top, "fred" if request.param == "index" else "Fred")
    if request.param == "text":
        return UserdbBackend(top, NAMES, writable=True)
    make(top, (GDBM, BERKELEY))
    return UserdbIndexBackend(tmp_path / "userdb.dat", NAMES, writable=True)


async def find(backend: UserdbBackend | UserdbIndexBackend, name: str) -> Record:
    found = await backend.find(RULES.parse(name))
    assert found is not None
    return found


async def test_a_change(backend: UserdbBackend | UserdbIndexBackend, tmp_path: Path) -> None:
    before = await find(backend, "ann")
    assert schemes.verify((await find(backend, "fred")).password, b"secret")
    assert await backend.set_password(RULES.parse("fred"), CHANGE)
    fred = await find(backend, "fred")
    assert fred.password.startswith(("$y$", "$6$"))  # Courier reads it, too
    assert schemes.verify(fred.password, b"new password")
    assert fred.contexts == {"hmac-md5": NEW_MD5}
    assert await find(backend, "ann") == before
    assert not await backend.set_password(RULES.parse("nobody"), CHANGE)
    if isinstance(backend, UserdbIndexBackend):
        shadow = (tmp_path / "userdbshadow.db").read_bytes()
        assert fred.password.encode() in shadow


def test_which_fields_change() -> None:
    def changed(change: PasswordChange = CHANGE, **old: str) -> edit.Fields:
        return new_fields(
            {"uid": "1", **{k.replace("_", "-"): v for k, v in old.items()}}, change, "S"
        )

    other = hmac_state.contexts("sha1", b"other")
    assert changed(systempw=HASH, imappw="{PLAIN}other") == {"systempw": "S"}
    assert changed(systempw="{PLAIN}other", imappw=HASH) == {"imappw": "S"}
    assert changed(systempw=HASH, imappw=HASH) == {"systempw": "S", "imappw": "S"}
    assert changed(systempw="{PLAIN}other") == {"systempw": "S"}
    assert changed() == {"systempw": "S"}
    assert changed(systempw=HASH, hmac_md5pw=MD5, imap_hmac_sha1pw=other) == {
        "systempw": "S",
        "hmac-md5pw": NEW_MD5,
    }
    assert changed(imappw="{PLAIN}secret") == {"imappw": "S", "imap-hmac-md5pw": NEW_MD5}
    admin = PasswordChange(b"new password", "x")
    assert changed(admin, imappw="!", hmac_md5pw=MD5, imap_hmac_sha1pw=other) == {
        "imappw": "S",
        "hmac-md5pw": NEW_MD5,
        "imap-hmac-sha1pw": hmac_state.contexts("sha1", b"new password"),
    }


async def test_only_where_it_is_allowed(tmp_path: Path) -> None:
    top = write(tmp_path / "userdb")
    before = top.read_text()
    assert not await UserdbBackend(top, NAMES).set_password(RULES.parse("fred"), CHANGE)
    index = UserdbIndexBackend(tmp_path / "other.dat", NAMES, writable=True)
    assert not await index.set_password(RULES.parse("fred"), CHANGE)  # an index without its text
    assert top.read_text() == before


async def test_files_that_are_not_ours_to_write(
    backend: UserdbBackend | UserdbIndexBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def forbidden(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", forbidden)
    assert not await backend.set_password(RULES.parse("fred"), CHANGE)
    monkeypatch.undo()
    assert (await find(backend, "fred")).password == HASH


async def test_a_full_disk_is_temporary(
    backend: UserdbBackend | UserdbIndexBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MailError) as caught:
        await backend.set_password(RULES.parse("fred"), CHANGE)
    assert caught.value.kind is ErrorKind.TEMPORARY
    monkeypatch.undo()
    assert (await find(backend, "fred")).password == HASH


@pytest.mark.parametrize("index", [False, True])
async def test_through_the_service(data: Path, index: bool) -> None:
    top = data / "userdb"
    edit.set_fields(
        top, "fred", {"home": "/home/fred", "uid": "1", "gid": "1", "systempw": "{PLAIN}secret"}
    )
    make(top)
    settings = make_settings(
        data, modules="userdb", userdb=top, userdb_index=data / "userdb.dat" if index else None
    )
    async with serving(settings) as server, watching(str(settings.listen)) as watcher:
        await watcher.synced()
        attempt = Attempt("fred", b"secret", "imap")
        await server.authenticator.change_password(attempt, b"a longer passphrase")
        assert await watcher.revocation() == Revocation("fred", Reason.PASSWORD)
        with pytest.raises(MailError) as caught:
            await server.authenticator.authenticate(attempt)
        assert caught.value.kind is ErrorKind.AUTH_FAILED
        await server.authenticator.authenticate(Attempt("fred", b"a longer passphrase", "imap"))


@pytest.mark.parametrize("index", [False, True])
async def test_webmail_goes_on_where_it_was_changed(data: Path, index: bool) -> None:
    top = data / "userdb"
    edit.set_fields(
        top, "fred", {"home": "/home/fred", "uid": "1", "gid": "1", "systempw": "{PLAIN}secret"}
    )
    make(top)
    settings = make_settings(
        data, modules="userdb", userdb=top, userdb_index=data / "userdb.dat" if index else None
    )
    async with (
        serving(settings),
        watching(str(settings.listen)) as watcher,
        owner_at(str(settings.listen)) as guest,
    ):
        await watcher.synced()
        fred, other, third = [await guest.login("fred") for _ in range(3)]
        await fred.ChangePassword(old_password=b"secret", new_password=b"a longer passphrase")
        for _ in range(2):  # told by who changed it, and by who watches the files
            assert await watcher.revocation() == Revocation("fred", Reason.PASSWORD)
        assert (await fred.GetSession()).account.address == "fred"
        assert (await other.refused("GetSession")).kind is ErrorKind.AUTH_FAILED
        edit.set_fields(top, "fred", {"systempw": "{PLAIN}by hand"})
        make(top)
        assert await watcher.revocation() == Revocation("fred", Reason.PASSWORD)
        while True:  # until the row is gone
            try:
                await fred.GetSession()
            except MailError as error:
                assert error.kind is ErrorKind.AUTH_FAILED
                break
        assert (await third.refused("GetSession")).kind is ErrorKind.AUTH_FAILED
