"""Our authtest and authenumerate print what Debian's print, both asking the same auth service."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from restante.cli.authenumerate import authenumerate
from restante.cli.authtest import authtest
from restante.cli.maildirmake import maildirmake
from tests.contract.courier import CourierRoom, courier_room
from tests.services.auth.process import auth_process

pytestmark = pytest.mark.slow

USERS = (
    "fred@example.test\thome=/srv/fred|uid=1000|gid=1001|mail=/srv/fred/Maildir"
    "|quota=1000000S,100C|systempw=$1$nhpB9Tpb$4b4OuITz0lH/0KXM3tYJR.|gecos=Fred Foo, Room 5"
    "|options=disableimap=1,group=staff\n"
    "ann@example.test\thome=/srv/ann|uid=1001|gid=1001|mail=/srv/ann/box|systempw={PLAIN}pw2"
    "|options=disableshared=1\n"
    "min@example.test\thome=/srv/min|uid=1002|gid=1003\n"
)

Command = Callable[[list[str]], int]


@pytest.fixture(scope="module")
def room() -> Iterator[CourierRoom]:
    with courier_room() as made:
        yield made


@pytest.fixture(scope="module")
def data(room: CourierRoom) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rst") as name:
        users = Path(name) / "userdb"
        users.write_text(USERS)
        users.chmod(0o600)
        with auth_process(
            Path(name),
            RESTANTE_AUTH_MODULES="userdb sql",
            RESTANTE_AUTH_USERDB=str(users),
            RESTANTE_AUTH_DEFAULT_OPTIONS="wbnodsn=1",
            RESTANTE_AUTH_AUTHDAEMON_LISTEN=f"unix:{room.socket}",
            RESTANTE_AUTH_AUTHDAEMON_PASSWORDS="true",
        ):
            yield Path(name)


def test_the_same_words_and_exit_codes(
    room: CourierRoom,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESTANTE_DATA", str(data))
    commands: dict[str, Command] = {"authtest": authtest, "authenumerate": authenumerate}
    for line in (
        "authtest fred@example.test",
        "authtest fred@example.test wrong",
        "authtest -s imap fred@example.test wrong",
        "authtest min@example.test",
        "authtest min@example.test x",
        "authtest ann@example.test no new",
        "authtest",
        "authtest -x",
        "authenumerate",
        "authenumerate -s",
        "authenumerate -o",
        "authenumerate -s -o",
        "authenumerate -so",
        "authenumerate x",
    ):
        name, *words = line.split()
        code = commands[name](words)
        ours = capsys.readouterr()
        theirs = room.run(line)
        assert (line, sorted(ours.out.splitlines())) == (
            line,
            sorted(theirs.stdout.decode().splitlines()),
        )
        assert (line, ours.err, code) == (line, theirs.stderr.decode(), theirs.returncode)


def test_maildirmake_makes_the_same(room: CourierRoom, tmp_path: Path) -> None:
    """Courier's own needs libpcre3, which newer Debians lack."""
    if room.run("maildirmake.courier").returncode != 1:
        pytest.skip("Debian's maildirmake.courier does not start here")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for top in (ours, theirs):
        top.mkdir()
    lines = (
        ["{}/a"],
        ["-q", "5000S,10C", "{}/a"],
        ["-f", "Sent", "{}/a"],
        ["-f", "Sent.2020", "{}/a"],
        ["-S", "{}/s"],
        ["-s", "read", "-f", "Read", "{}/s"],
        ["-s", "write,group", "-f", "Write", "{}/s"],
        ["{}/a"],
        ["-z"],
    )
    for line in lines:
        code = maildirmake([word.format(ours) for word in line])
        done = room.run(" ".join(["maildirmake.courier", *(w.format(theirs) for w in line)]))
        assert (line, code) == (line, done.returncode)

    def tree(top: Path) -> list[tuple[str, int]]:
        return sorted((str(p.relative_to(top)), p.stat().st_mode & 0o7777) for p in top.rglob("*"))

    quota = "a/maildirsize"  # ours is private
    assert [x for x in tree(ours) if x[0] != quota] == [x for x in tree(theirs) if x[0] != quota]
    assert (ours / quota).read_text() == (theirs / quota).read_text()
