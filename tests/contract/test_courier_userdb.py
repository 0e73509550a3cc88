"""userdb between Courier's own programs and ours: makeuserdb, userdb, authdaemond's authuserdb."""

import hmac
import shutil
import socket
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from restante.runtime.libcrypt import crypt
from restante.userdb import edit
from restante.userdb.gdbm import Gdbm
from restante.userdb.make import make
from restante.wire import hmac_state
from services.auth.backends.base import PasswordChange, Record
from services.auth.backends.userdb import UserdbBackend
from services.auth.backends.userdb_index import UserdbIndexBackend
from services.auth.backends.userdb_names import UserdbNames
from services.auth.names import NameRules
from tests.contract.courier import CourierRoom, authdaemond, courier_room

pytestmark = pytest.mark.slow

RULES = NameRules("example.test")
NAMES = UserdbNames("example.test")


def hashed(password: bytes) -> str:
    made = crypt(password, b"$6$rounds=1000$salt")
    assert made is not None
    return made.decode()


TEXT = f"""\
# of the old machine

fred@example.test\thome=/home/fred|uid=1001|gid=1002|systempw={hashed(b"secret")}\
|imappw={hashed(b"for imap")}|gecos=Fred F, room 1|quota=100S|options=disableimap=0,group=a\
|mail=/srv/fred|hmac-md5pw={hmac_state.contexts("md5", b"challenge")}\
|pop3-hmac-sha256pw={hmac_state.contexts("sha256", b"challenge")}
1001=\tfred@example.test
bare\thome=/home/bare|uid=1003|gid=1003|systempw={hashed(b"secret")}
nopw@example.test\thome=/home/nopw|uid=1004|gid=1004
"""
NAMES_IN_TEXT = ("fred@example.test", "bare", "nopw@example.test")


@pytest.fixture(scope="module")
def room() -> Iterator[CourierRoom]:
    with courier_room() as found:
        yield found


@pytest.fixture(autouse=True)
def no_userdb(request: pytest.FixtureRequest) -> None:
    room = request.getfixturevalue("room")
    for path in [*room.config.glob("userdb*"), *room.config.glob(".*.userdb")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def write(path: Path, text: str = TEXT) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def content(path: Path) -> dict[bytes, bytes | None]:
    with Gdbm(path) as file:
        return {key: file.fetch(key) for key in file}


async def records(backend: UserdbBackend | UserdbIndexBackend) -> dict[str, Record]:
    return {record.account.address: record async for record in backend.records()}


async def test_we_read_what_courier_made(room: CourierRoom) -> None:
    top = write(room.config / "userdb")
    room.ok("makeuserdb")
    index = UserdbIndexBackend(room.config / "userdb.dat", NAMES)
    text = UserdbBackend(top, NAMES)
    for name in NAMES_IN_TEXT:
        login = RULES.parse(name)
        found = await index.find(login)
        assert found is not None
        assert found == await text.find(login)
    assert await records(index) == await records(text)
    assert len(await records(index)) == 3
    assert await index.find(RULES.parse("nobody")) is None
    assert await index.find(RULES.parse("1001=")) is None


ODD = """\
# comment
name\ta=1|pw=2||xpw=3|note=pw=4|
no tab at all
\tno name
empty\t
onlypw\tsystempw=x
 blank\ta=1\tb=2
trailing\ta=1||
"""


def test_both_make_the_same(room: CourierRoom) -> None:
    top = room.config / "userdb"
    (top / "sub").mkdir(parents=True)
    top.chmod(0o700)
    write(top / "a", ODD)
    write(top / "sub/b", "other\ta=1|pw=2\n")
    write(top / ".hidden", "hidden\ta=1\n")
    files = [room.config / name for name in ("userdb.dat", "userdbshadow.dat")]
    room.ok("makeuserdb")
    theirs = [content(path) for path in files]
    modes = [path.stat().st_mode for path in files]
    make(top)
    assert [content(path) for path in files] == theirs
    assert [path.stat().st_mode for path in files] == modes
    assert len(theirs[0]) > 6


def ask(room: CourierRoom, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(room.socket))
        client.sendall(request)
        answer = b""
        while data := client.recv(8192):
            answer += data
        return answer


def body(*lines: bytes) -> bytes:
    text = b"\n".join(lines) + b"\n"
    return b"AUTH %d\n%s" % (len(text), text)


async def test_courier_reads_what_we_made(room: CourierRoom) -> None:
    make(write(room.config / "userdb"))
    room.start(authdaemond("userdb"))
    room.wait_for(room.socket)
    fred = b"fred@example.test"
    answer = ask(room, b"PRE . smtp %s\n" % fred)
    for line in (b"UID=1001", b"GID=1002", b"HOME=/home/fred", b"MAILDIR=/srv/fred"):
        assert line + b"\n" in answer
    for line in (b"ADDRESS=fred@example.test", b"QUOTA=100S", b"OPTIONS=disableimap=0,group=a"):
        assert line + b"\n" in answer
    assert ask(room, body(b"imap", b"login", fred, b"for imap")).endswith(b"\n.\n")
    assert ask(room, body(b"pop3", b"login", fred, b"secret")).endswith(b"\n.\n")
    assert ask(room, body(b"imap", b"login", fred, b"secret")) == b"FAIL\n"
    assert ask(room, body(b"imap", b"login", b"nobody", b"secret")) == b"FAIL\n"

    challenge = b"<1.2@example.test>"
    for service, name in ((b"imap", "md5"), (b"pop3", "sha256")):
        for password, passes in ((b"challenge", True), (b"other", False)):
            response = fred + b" " + hmac.digest(password, challenge, name).hex().encode()
            kind = b"cram-" + name.encode()
            answer = ask(room, body(service, kind, b64encode(challenge), b64encode(response)))
            assert answer.endswith(b"\n.\n" if passes else b"FAIL\n")

    shown = room.ok("authtest -s imap fred@example.test 'for imap'").decode()
    assert "Authenticated: fred@example.test  (uid 1001, gid 1002)" in shown
    assert room.run("authtest -s imap fred@example.test secret").returncode == 1
    listed = room.ok("authenumerate").decode().splitlines()
    assert "bare\t1003\t1003\t/home/bare" in [line.rstrip("\t") for line in listed]
    assert "fred@example.test\t1001\t1002\t/home/fred\t/srv/fred" in listed

    # A new pair takes the place of the old one under a running authdaemond.
    stored = hashed(b"changed")
    edit.set_fields(room.config / "userdb", "fred@example.test", {"systempw": stored})
    make(room.config / "userdb")
    assert ask(room, body(b"pop3", b"login", fred, b"secret")) == b"FAIL\n"
    assert ask(room, body(b"pop3", b"login", fred, b"changed")).endswith(b"\n.\n")

    # An owner changes his password at our service.
    ours = UserdbIndexBackend(room.config / "userdb.dat", NAMES, writable=True)
    change = PasswordChange(b"by owner", "$argon2id$of no use to Courier", b"changed")
    assert await ours.set_password(RULES.parse("fred@example.test"), change)
    assert ask(room, body(b"pop3", b"login", fred, b"changed")) == b"FAIL\n"
    assert ask(room, body(b"pop3", b"login", fred, b"by owner")).endswith(b"\n.\n")
    assert ask(room, body(b"imap", b"login", fred, b"for imap")).endswith(b"\n.\n")


def test_edits_in_turn(room: CourierRoom) -> None:
    top = write(room.config / "userdb", "ann\tuid=1\n")
    room.ok("userdb bob set uid=2 gid=3")
    edit.set_fields(top, "cat", {"uid": "4"})
    room.ok("userdb cat set gid=5")
    edit.unset_fields(top, "bob", ["gid"])
    room.ok("userdb ann del")
    assert top.read_text() in ("bob\tuid=2\ncat\tuid=4|gid=5\n", "bob\tuid=2\ncat\tgid=5|uid=4\n")
    for words in ("", "bob"):
        theirs = room.ok(f"userdb -show {words}").decode()
        assert "".join(f"{line}\n" for line in edit.show(top, words or None)) == theirs


def test_edits_at_once_lose_nothing(room: CourierRoom) -> None:
    top = write(room.config / "userdb", "shared\tuid=1\n")
    loop = "for n in $(seq 30); do userdb theirs$n set uid=$n; userdb shared set theirs=$n; done"
    with ThreadPoolExecutor() as pool:
        theirs = pool.submit(room.ok, loop)
        for n in range(1, 31):
            edit.set_fields(top, f"ours{n}", {"uid": str(n)})
            edit.set_fields(top, "shared", {"ours": str(n)})
        theirs.result()
    assert len(edit.show(top)) == 61
    assert sorted(edit.show(top, "shared")) == ["ours=30", "theirs=30", "uid=1"]


@pytest.mark.parametrize("name", hmac_state.NAMES)
def test_contexts_are_the_same(room: CourierRoom, name: str) -> None:
    for password in (b"secret", b"x" * 64, b"y" * 65, "grüße".encode()):
        theirs = room.ok(f"userdbpw -hmac-{name}", password + b"\n").decode()
        assert hmac_state.contexts(name, password) == theirs.strip()


def test_courier_and_we_know_each_others_hashes(room: CourierRoom) -> None:
    stored = room.ok("userdbpw -md5", b"secret\n").strip()
    assert crypt(b"secret", stored) == stored
