"""makeuserdb's files: what is in them, as other programs read them, and what stops them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.model import ErrorKind, MailError
from restante.userdb import berkeley, gdbm
from restante.userdb.cdb import CdbWriter, cdb_hash
from restante.userdb.gdbm import Gdbm
from restante.userdb.make import BERKELEY, CDB, GDBM, make
from restante.userdb.records import Line, index_paths, lines_of, split

TEXT = """\
# accounts

fred@example.test\thome=/home/fred|uid=1001|systempw=abc|imappw=x|hmac-md5pw=00|
1001=\tfred@example.test
bare\tuid=1|pw=a|gid=2|xpwy=1|note=pw=1
onlypw\tsystempw=x
empty\t
no tab
"""
PUBLIC = {
    b"fred@example.test": b"home=/home/fred|uid=1001|_=",
    b"1001=": b"fred@example.test|_=",
    b"bare": b"uid=1|gid=2|xpwy=1|note=pw=1|_=",
    b"onlypw": b"_=",
    b"empty": b"_=",
    b"no tab": b"1",
}
SHADOW = {
    b"fred@example.test": b"systempw=abc|imappw=x|hmac-md5pw=00",
    b"bare": b"pw=a",
    b"onlypw": b"systempw=x",
    b"no tab": b"1",
}


def write(path: Path, text: str = TEXT, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def content(path: Path) -> dict[bytes, bytes | None]:
    with Gdbm(path) as file:
        return {key: file.fetch(key) for key in file}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_pair(tmp_path: Path) -> None:
    top = write(tmp_path / "userdb")
    assert make(top) == len(PUBLIC)
    main, shadow = index_paths(tmp_path / "userdb.dat")
    assert content(main) == PUBLIC
    assert content(shadow) == SHADOW
    assert (mode(main), mode(shadow)) == (0o644, 0o600)
    assert sorted(os.listdir(tmp_path)) == [
        "userdb",
        "userdb.dat",
        "userdb.lock",
        "userdbshadow.dat",
    ]


def test_a_directory(tmp_path: Path) -> None:
    top = tmp_path / "userdb"
    (top / "sub").mkdir(parents=True)
    top.chmod(0o700)
    write(top / "a", "ann\tuid=1\n", 0o644)  # Courier looks at the permissions of the top only
    write(top / "sub/b", "bob\tuid=2\n")
    write(top / ".lock.a", "no\tuid=3\n")
    make(top)
    found = content(tmp_path / "userdb.dat")
    assert found == {b"ann": b"uid=1|_=a/", b"bob": b"uid=2|_=sub/b/"}
    assert content(tmp_path / "userdbshadow.dat") == {}


def test_a_name_that_stands_twice_changes_nothing(tmp_path: Path) -> None:
    top = write(tmp_path / "userdb")
    make(top, (GDBM, CDB, BERKELEY))
    before = sorted((path.name, path.stat().st_ino) for path in tmp_path.iterdir())
    write(top, f"{TEXT}bare\tuid=2\n")
    with pytest.raises(MailError, match="bare stands there twice") as caught:
        make(top, (GDBM, CDB, BERKELEY))
    assert caught.value.kind is ErrorKind.ALREADY_EXISTS
    assert sorted((path.name, path.stat().st_ino) for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("wrong", [0o640, 0o604, 0o602, 0o610])
def test_a_userdb_for_others_is_refused(tmp_path: Path, wrong: int) -> None:
    top = write(tmp_path / "userdb", mode=wrong)
    with pytest.raises(MailError, match="group or others") as caught:
        make(top)
    assert caught.value.kind is ErrorKind.PERMISSION
    assert not (tmp_path / "userdb.dat").exists()


def test_symlinks_are_refused(tmp_path: Path) -> None:
    real = write(tmp_path / "real")
    (tmp_path / "userdb").symlink_to(real)
    with pytest.raises(MailError, match="is a symlink"):
        make(tmp_path / "userdb")
    (tmp_path / "realshadow.dat").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MailError, match=r"realshadow\.dat: is a symlink"):
        make(real)
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(MailError, match="not found") as caught:
        make(tmp_path / "userdb")
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_readers_of_the_old_files_keep_them(tmp_path: Path) -> None:
    top = write(tmp_path / "userdb")
    make(top)
    with Gdbm(tmp_path / "userdb.dat") as old:
        write(top, "other\tuid=1\n")
        make(top)
        assert old.fetch(b"bare") == PUBLIC[b"bare"]
        assert content(tmp_path / "userdb.dat") == {b"other": b"uid=1|_="}


@pytest.mark.skipif(not shutil.which("gdbmtool"), reason="gdbmtool is not installed")
def test_gdbmtool_reads_it(tmp_path: Path) -> None:
    make(write(tmp_path / "userdb"))
    done = subprocess.run(
        ["gdbmtool", "-r", tmp_path / "userdbshadow.dat", "fetch", "bare"],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"pw=a\n"


def test_gdbm_tells_missing_from_broken(tmp_path: Path) -> None:
    path = tmp_path / "x.dat"
    with Gdbm(path, create=0o600) as file:
        for n in range(2000):
            assert file.insert(b"user%d" % n, b"x" * 100)
        assert not file.insert(b"user7", b"again")
    with Gdbm(path) as file:
        assert file.fetch(b"user7") == b"x" * 100
        assert file.fetch(b"nobody") is None
        assert file.fetch(b"") is None
        os.truncate(path, 20000)
        with pytest.raises(MailError) as caught:
            all(file.fetch(b"user%d" % n) for n in range(2000))
        assert caught.value.kind is ErrorKind.TEMPORARY
    for data in (b"", b"x" * 100_000):
        path.write_bytes(data)
        with pytest.raises(MailError) as caught:
            Gdbm(path)
        assert caught.value.kind is ErrorKind.TEMPORARY


@pytest.mark.parametrize(("module", "kind"), [(gdbm, GDBM), (berkeley, BERKELEY)])
def test_a_missing_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, kind: object
) -> None:
    for name in ("_library", "_functions"):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, None)
    monkeypatch.setattr(module, "LIBRARY", "libnothing.so.0")
    with pytest.raises(MailError, match=r"libnothing\.so\.0.*package lib") as caught:
        make(write(tmp_path / "userdb"), (kind,))  # type: ignore[arg-type]
    assert caught.value.kind is ErrorKind.CANNOT
    assert sorted(os.listdir(tmp_path)) == ["userdb", "userdb.lock"]


@pytest.mark.skipif(not shutil.which("cdb"), reason="tinycdb is not installed")
def test_tinycdb_reads_it(tmp_path: Path) -> None:
    make(write(tmp_path / "userdb"), (CDB,))
    for name, expected in (("userdb.cdb", PUBLIC), ("userdbshadow.cdb", SHADOW)):
        path = tmp_path / name
        dumped = subprocess.run(["cdb", "-d", path], capture_output=True, check=True).stdout
        records = b"".join(
            b"+%d,%d:%s->%s\n" % (len(key), len(value), key, value)
            for key, value in expected.items()
        )
        assert dumped == records + b"\n"
        for key, value in expected.items():
            found = subprocess.run(["cdb", "-q", path, key], capture_output=True, check=True)
            assert found.stdout == value
        assert subprocess.run(["cdb", "-q", path, b"nobody"], check=False).returncode == 100
    assert (mode(tmp_path / "userdb.cdb"), mode(tmp_path / "userdbshadow.cdb")) == (0o644, 0o600)


def test_cdb_by_its_definition(tmp_path: Path) -> None:
    path = tmp_path / "x.cdb"
    writer = CdbWriter(path, 0o600)
    entries = {b"key%d" % n: b"value%d" % n for n in range(1000)}
    for key, value in entries.items():
        assert writer.insert(key, value)
    assert not writer.insert(b"key1", b"again")
    writer.close()
    data = path.read_bytes()
    for key, value in entries.items():
        assert cdb_fetch(data, key) == value
    assert cdb_fetch(data, b"nobody") is None


def cdb_fetch(data: bytes, key: bytes) -> bytes | None:
    hashed = cdb_hash(key)

    def number(at: int) -> int:
        return int.from_bytes(data[at : at + 4], "little")

    table = hashed % 256 * 8
    position, slots = number(table), number(table + 4)
    for step in range(slots):
        at = position + ((hashed >> 8) + step) % slots * 8
        if number(at + 4) == 0:
            return None
        if number(at) == hashed:
            record = number(at + 4)
            size, length = number(record), number(record + 4)
            if data[record + 8 : record + 8 + size] == key:
                return data[record + 8 + size : record + 8 + size + length]
    return None


@pytest.mark.skipif(not shutil.which("db5.3_dump"), reason="db5.3-util is not installed")
def test_berkeley_db_reads_it(tmp_path: Path) -> None:
    make(write(tmp_path / "userdb"), (BERKELEY,))
    for name, expected in (("userdb.db", PUBLIC), ("userdbshadow.db", SHADOW)):
        path = tmp_path / name
        subprocess.run(["db5.3_verify", "-q", path], check=True)
        dumped = subprocess.run(["db5.3_dump", "-p", path], capture_output=True, check=True).stdout
        head, _, rest = dumped.partition(b"HEADER=END\n")
        assert b"type=hash\n" in head
        lines = [line[1:] for line in rest.splitlines() if line.startswith(b" ")]
        assert dict(zip(lines[::2], lines[1::2], strict=True)) == expected
    assert (mode(tmp_path / "userdb.db"), mode(tmp_path / "userdbshadow.db")) == (0o644, 0o600)


_PIECES = st.text(st.characters(exclude_characters="\n\t|", exclude_categories=["Cs"]))


@given(_PIECES.filter(lambda s: s and not s.startswith("#")), st.lists(_PIECES))
def test_no_field_is_lost(name: str, pieces: list[str]) -> None:
    line = split(f"{name}\t{'|'.join(pieces)}", "f/")
    assert isinstance(line, Line)
    kept = (line.public or "").split("|")[:-1] + (line.shadow.split("|") if line.shadow else [])
    assert sorted(filter(None, kept)) == sorted(filter(None, pieces))
    for piece in (line.public or "").split("|"):
        key, equals, _ = piece.partition("=")
        assert not (equals and key.endswith("pw"))


def test_bytes_that_are_no_utf8_stay(tmp_path: Path) -> None:
    top = tmp_path / "userdb"
    top.write_bytes(b"j\xfcrgen\tgecos=J\xfcrgen\n")
    top.chmod(0o600)
    assert [line.name for line in lines_of(top)] == ["j\udcfcrgen"]
    make(top)
    assert content(tmp_path / "userdb.dat") == {b"j\xfcrgen": b"gecos=J\xfcrgen|_="}
