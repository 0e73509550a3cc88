"""userdb, userdbpw and pw2userdb, as operators and their scripts call them."""

import io
import multiprocessing
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from restante.cli import classic, makeuserdb, pw2userdb, userdb, userdbpw
from restante.cli.main import app
from restante.runtime.libcrypt import crypt
from restante.userdb import edit
from restante.wire import hmac_state

COMMANDS = {
    "userdb": userdb.command,
    "userdbpw": userdbpw.command,
    "makeuserdb": makeuserdb.command,
    "pw2userdb": pw2userdb.command,
}


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "userdb"
    monkeypatch.setenv("RESTANTE_AUTH_USERDB", str(path))
    return path


class Run:
    """Runs a command in this process with a pipe for its input."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        self._patch, self._captured = monkeypatch, capfdbinary

    def __call__(self, name: str, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = classic.run_command(name, COMMANDS[name], words)
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = self._captured.readouterr()
        return code, out.decode(), err.decode()

    def ok(self, name: str, *words: str, stdin: bytes = b"") -> str:
        code, out, err = self(name, *words, stdin=stdin)
        assert (code, err) == (0, "")
        return out

    def fails(self, name: str, *words: str, stdin: bytes = b"") -> str:
        code, out, err = self(name, *words, stdin=stdin)
        assert (code, out) == (1, "")
        return err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    return Run(monkeypatch, capfdbinary)


def test_the_life_of_a_record(top: Path, run: Run) -> None:
    top.write_text("# a comment\n\nann\tuid=1|gid=2\nbob\tuid=3")
    run.ok("userdb", "cat", "set", "uid=4", "home=/home/cat")
    assert top.read_text() == (
        "# a comment\n\nann\tuid=1|gid=2\nbob\tuid=3\ncat\tuid=4|home=/home/cat\n"
    )
    run.ok("userdb", "ann", "set", "gid=5", "note=a=b", "uid=1")
    run.ok("userdb", "bob", "unset", "uid", "nothing")
    run.ok("userdb", "cat", "del")
    assert top.read_text() == "# a comment\n\nann\tuid=1|gid=5|note=a=b\nbob\t\n"
    assert run.ok("userdb", "-show") == "ann\nbob\n"
    assert run.ok("userdb", "-show", "ann") == "uid=1\ngid=5\nnote=a=b\n"
    assert run.ok("userdb", "-show", "-f", str(top)) == "ann\nbob\n"
    assert run.ok("userdb", "-show", "-f", str(top), "ann") == "uid=1\ngid=5\nnote=a=b\n"
    for words in (["-show", "nobody"], ["nobody", "del"], ["nobody", "unset", "x"]):
        assert run.ok("userdb", *words) == ""
    assert top.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(top.parent)) == [".lock.userdb", "userdb"]


def test_a_new_file_is_private(top: Path, run: Run) -> None:
    run.ok("userdb", "ann", "set", "uid=1")
    assert top.stat().st_mode & 0o777 == 0o600
    assert run.ok("userdb", "-show", "-f", str(top.with_name("nothing"))) == ""


def test_records_of_a_directory(top: Path, run: Run) -> None:
    run.ok("userdb", "shop/staff/ann", "set", "uid=1")
    assert (top / "shop/staff").read_text() == "ann\tuid=1\n"
    assert top.stat().st_mode & 0o777 == 0o700
    assert (top / "shop").stat().st_mode & 0o777 == 0o700
    assert run.ok("userdb", "-show", "shop/staff") == "ann\n"
    assert run.ok("userdb", "-show", "shop/staff/") == "ann\n"
    for words in (["shop/staff", "ann"], ["shop/staff/ann"]):
        assert run.ok("userdb", "-show", *words) == "uid=1\n"
    run.ok("userdb", "-f", str(top / "shop/staff"), "bob", "set", "uid=2")
    run.ok("userdb", "shop/staff/ann", "del")
    assert (top / "shop/staff").read_text() == "bob\tuid=2\n"
    assert "not a file" in run.fails("userdb", "ann", "set", "uid=1")
    assert "not a file" in run.fails("userdb", "-show")


def test_values_from_standard_input(top: Path, run: Run) -> None:
    run.ok("userdb", "ann", "set", "systempw", "uid=1", "imappw", stdin=b"one\ntwo\r\n")
    assert top.read_text() == "ann\tsystempw=one|uid=1|imappw=two\n"
    assert "missing on standard input" in run.fails("userdb", "ann", "set", "systempw")
    assert top.read_text() == "ann\tsystempw=one|uid=1|imappw=two\n"


@pytest.mark.parametrize(
    "words",
    [
        ["ann", "set", "a=b|c=d"],
        ["ann", "set", "a=b\nroot\tuid=0"],
        ["ann", "set", "a=b\tc"],
        ["ann", "set", "=b"],
        ["ann", "set", "a|b=c"],
        ["ann\tx=y", "set", "a=b"],
        ["ann\nroot", "set", "a=b"],
        ["#ann", "set", "a=b"],
        ["file/", "set", "a=b"],
    ],
)
def test_what_cannot_stand_in_a_line_is_refused(top: Path, run: Run, words: list[str]) -> None:
    assert "cannot be" in run.fails("userdb", *words)
    assert not top.is_file()


def test_a_value_from_a_pipe_cannot_make_fields(top: Path, run: Run) -> None:
    message = run.fails("userdb", "ann", "set", "systempw", stdin=b"x|uid=0\n")
    assert "cannot be" in message
    assert "uid=0" not in message  # it may be a password


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["ann"],
        ["ann", "change"],
        ["ann", "del", "x"],
        ["-f"],
        ["-f", "x"],
        ["-f", "x", "ann"],
        ["-show", "-f"],
        ["-show", "a", "b", "c"],
        ["-show", "-f", "a", "b", "c"],
    ],
)
def test_usage(top: Path, run: Run, words: list[str]) -> None:
    assert run.fails("userdb", *words).startswith("usage: userdb")


def test_a_symlinked_userdb_is_refused_and_links_below_it_are_kept(top: Path, run: Run) -> None:
    real = top.with_name("real")
    real.write_text("ann\tuid=1\n")
    link = top.with_name("link")
    link.symlink_to(real)
    run.ok("userdb", "-f", str(link), "ann", "set", "uid=2")
    assert link.is_symlink()
    assert real.read_text() == "ann\tuid=2\n"
    top.symlink_to(real)
    assert "symlink" in run.fails("userdb", "ann", "set", "uid=3")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(top: Path, run: Run) -> None:
    top.write_text("ann\tuid=1\n")
    top.chmod(0o644)
    os.chown(top, 1234, 1235)
    run.ok("userdb", "ann", "set", "uid=2")
    info = top.stat()
    assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (1234, 1235, 0o600)
    run.ok("makeuserdb")
    info = top.with_name("userdbshadow.dat").stat()
    assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (1234, 1235, 0o600)


def test_a_failed_write_leaves_the_old_file(
    top: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    top.write_text("ann\tuid=1\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device", str(top))

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in run.fails("userdb", "ann", "set", "uid=2")
    assert "No space left" in run.fails("makeuserdb", "-f", str(_private(top)))
    assert top.read_text() == "ann\tuid=1\n"
    assert sorted(os.listdir(top.parent)) == [".lock.userdb", "userdb", "userdb.lock"]


def _private(path: Path) -> Path:
    path.chmod(0o600)
    return path


def _edits(path: Path, worker: int) -> None:
    for number in range(25):
        edit.set_fields(path, f"user{worker}-{number}", {"uid": str(number)})
        edit.set_fields(path, "shared", {f"field{worker}": str(number)})


def test_editors_at_once_lose_nothing(top: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_edits, args=(top, n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(edit.show(top)) == 76
    assert sorted(edit.show(top, "shared")) == [f"field{n}=24" for n in range(3)]


def test_hashes(run: Run) -> None:
    for words, form in (
        ([], r"\$6\$[./0-9A-Za-z]{16}\$[./0-9A-Za-z]{86}\n"),
        (["-sha512"], r"\$6\$.*\n"),
        (["-md5"], r"\$1\$[./0-9A-Za-z]{8}\$[./0-9A-Za-z]{22}\n"),
        (["-yescrypt"], r"\$y\$.*\n"),
    ):
        made = run.ok("userdbpw", *words, stdin=b"secret\nmore\n")
        assert re.fullmatch(form, made)
        stored = made.strip().encode()
        assert crypt(b"secret", stored) == stored
        assert run.ok("userdbpw", *words, stdin=b"secret\n") != made  # a salt of its own
    assert run.ok("userdbpw", "-argon2id", stdin=b"secret").startswith("$argon2id$v=19$m=19456,")
    for name in hmac_state.NAMES:
        made = run.ok("userdbpw", f"-hmac-{name}", stdin=b"secret\r\n")
        assert made == hmac_state.contexts(name, b"secret") + "\n"


@pytest.mark.parametrize("words", [["-sha1024"], ["-md5", "-sha512"], ["secret"], ["md5"]])
def test_userdbpw_usage(run: Run, words: list[str]) -> None:
    assert run.fails("userdbpw", *words, stdin=b"secret\n").startswith("usage: userdbpw")


@pytest.mark.parametrize("stdin", [b"", b"\n"])
def test_no_password(run: Run, stdin: bytes) -> None:
    assert "no password" in run.fails("userdbpw", "-md5", stdin=stdin)


@pytest.mark.parametrize(("second", "code"), [(b"secret\n", 0), (b"other\n", 1)])
def test_a_terminal_is_asked_twice_without_echo(second: bytes, code: int) -> None:
    master, slave = pty.openpty()
    words = [
        sys.executable,
        "-c",
        "from restante.cli.userdbpw import main; raise SystemExit(main())",
    ]
    process = subprocess.Popen(
        [*words, "-hmac-md5"],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    for prompt, answer in ((b"Password: ", b"secret\n"), (b"Reenter password: ", second)):
        while prompt not in shown:
            shown += os.read(master, 1000)
        os.write(master, answer)
    out, _ = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == code
    assert b"secret" not in shown
    assert out == ((hmac_state.contexts("md5", b"secret") + "\n").encode() if code == 0 else b"")


PASSWD = """\
# comment
root:x:0:0:root:/root:/bin/bash
toor:x:0:0::/root:
ann:$1$a$b:1001:1002:Ann A|B,room 1:/home/ann:/bin/sh
+::::::
short:x:1
"""


def test_system_accounts(tmp_path: Path, run: Run) -> None:
    passwd, shadow = tmp_path / "passwd", tmp_path / "shadow"
    passwd.write_text(PASSWD)
    shadow.write_text("root:$6$x$y:19000:0:99999:7:::\ntoor:*:19000::::::\n")
    given = ["--passwd", str(passwd), f"--shadow={shadow}"]
    assert run.ok("pw2userdb", *given) == (
        "root\tuid=0|gid=0|home=/root|shell=/bin/bash|systempw=$6$x$y|gecos=root\n"
        "0=\troot\n"
        "toor\tuid=0|gid=0|home=/root|systempw=*\n"
        "ann\tuid=1001|gid=1002|home=/home/ann|shell=/bin/sh|systempw=$1$a$b"
        "|gecos=Ann A.B,room 1\n"
        "1001=\tann\n"
    )
    out = run.ok("pw2userdb", *given, "--noshadow", "--nouid", "--domain=example.test")
    assert [line.partition("\t")[0] for line in out.splitlines()] == [
        "root@example.test",
        "toor@example.test",
        "ann@example.test",
    ]
    assert out.count("systempw=") == 1
    missing = ["--passwd", str(tmp_path / "none"), f"--shadow={shadow}"]
    assert "No such file" in run.fails("pw2userdb", *missing)
    assert "unrecognized" in run.fails("pw2userdb", "--what")


def test_what_pw2userdb_prints_is_a_userdb(top: Path, run: Run) -> None:
    top.touch(0o600)
    top.write_text(run.ok("pw2userdb", "--noshadow"))
    run.ok("makeuserdb", "-dbm", "-cdb")
    assert {path.name for path in top.parent.iterdir()} >= {"userdb.dat", "userdb.db", "userdb.cdb"}


@pytest.mark.parametrize("words", [["x"], ["-f"], ["-x"], ["-dbm", "x"]])
def test_makeuserdb_usage(top: Path, run: Run, words: list[str]) -> None:
    assert run.fails("makeuserdb", *words).startswith("usage: makeuserdb")


def test_below_restante(top: Path) -> None:
    def call(*words: str, stdin: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(app, list(words), input=stdin)
        return done.exit_code, done.stdout

    assert call("userdb", "ann", "set", "hmac-md5pw", stdin="00\n") == (0, "")
    assert call("userdb", "-show", "ann") == (0, "hmac-md5pw=00\n")
    assert call("userdb", "-show", "-f", str(top)) == (0, "ann\n")
    assert call("userdbpw", "-hmac-md5", stdin="secret\n") == (
        0,
        hmac_state.contexts("md5", b"secret") + "\n",
    )
    assert call("makeuserdb", "-f", str(top), "-cdb") == (0, "")
    assert call("userdb", "ann")[0] == 1
    for name in COMMANDS:
        assert f"\n  {name} [" in call(name, "--help")[1]
