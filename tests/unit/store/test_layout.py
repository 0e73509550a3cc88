"""Folder names and directories."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.model import INBOX, ErrorKind, FolderName, MailError, mutf7
from restante.model.folder_name import folder_name
from restante.store import layout


def components() -> st.SearchStrategy[FolderName]:
    text = st.text(
        st.one_of(st.sampled_from("aB&-+,ü日~ \u0301"), st.characters(codec="utf-8")),
        min_size=1,
        max_size=8,
    )
    return st.lists(text, min_size=1, max_size=3).map(tuple).map(_valid).filter(bool)


def _valid(raw: tuple[str, ...]) -> FolderName:
    try:
        return folder_name(raw)
    except MailError:
        return ()


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    with layout.opened(tmp_path) as root:
        layout.make_maildir(root, "Maildir")
    return tmp_path / "Maildir"


def make(maildir: Path, directory: str) -> None:
    with layout.opened(maildir) as root:
        layout.make_maildir(root, directory)


def listed(maildir: Path) -> dict[FolderName, str]:
    with layout.opened(maildir) as root:
        return layout.list_folders(root)


@given(components())
def test_a_new_folder_reads_back_as_what_it_is(name: FolderName) -> None:
    assert layout.folder_of(layout.disk_name(name)) == name


@given(st.text(st.characters(codec="utf-8")))
def test_modified_utf7_round_trip(text: str) -> None:
    assert mutf7.decode(mutf7.encode(text)) == text


@given(st.text("&-AGwTÜ,+a0Z", max_size=12))
def test_modified_utf7_has_one_form(text: str) -> None:
    decoded = mutf7.decode(text)
    assert decoded is None or mutf7.encode(decoded) == text


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        (".Work", ("Work",)),
        (".Work.2026", ("Work", "2026")),
        (".Entwürfe", ("Entwürfe",)),
        (".Entw&APw-rfe", ("Entwürfe",)),
        (".R&-D", ("R&D",)),
        (".R&D", ("R&D",)),
        (".a&b-", ("a&b-",)),
        (unicodedata.normalize("NFD", ".Entwürfe"), ("Entwürfe",)),
        (os.fsdecode(b".Entw\xfcrfe"), ("Entwürfe",)),
        (".&ZeVnLIqe-", ("日本語",)),
        ("..", None),
        (".", None),
        ("..a", None),
        (".a..b", None),
        (".a.", None),
        ("cur", None),
        (".~root", None),
        (".&Jjo", ("&Jjo",)),  # no modified UTF-7: a name like any other
        (".&AC4-", ("&AC4-",)),  # would hide a separator
        (".&AC8-etc", ("&AC8-etc",)),  # would hide a slash
        (".a\nb", None),
    ],
)
def test_directories(directory: str, name: FolderName | None) -> None:
    assert layout.folder_of(directory) == name


def test_listing(maildir: Path) -> None:
    for directory in (".Work", ".Entw&APw-rfe", ".Work.b", ".Work.a"):
        make(maildir, directory)
    (maildir / ".not-a-folder").mkdir()
    (maildir / ".file").write_text("")
    (maildir / ".link").symlink_to(maildir / ".Work")
    assert listed(maildir) == {
        INBOX: ".",
        ("Entwürfe",): ".Entw&APw-rfe",
        ("Work",): ".Work",
        ("Work", "a"): ".Work.a",
        ("Work", "b"): ".Work.b",
    }


def test_two_spellings_of_one_name_are_both_shown(maildir: Path) -> None:
    decomposed = unicodedata.normalize("NFD", ".Entwürfe")
    for directory in (decomposed, ".Entw&APw-rfe", ".Entwürfe", ".INBOX"):
        make(maildir, directory)
    assert listed(maildir) == {
        INBOX: ".",
        ("Entwürfe",): ".Entwürfe",
        ("Entwürfe (2)",): ".Entw&APw-rfe",
        ("Entwürfe (3)",): decomposed,
        ("INBOX (2)",): ".INBOX",
    }


@pytest.mark.parametrize("directory", [".Entwürfe", ".Entw&APw-rfe", ".Entwu\u0308rfe"])
def test_open_folder_finds_every_spelling(maildir: Path, directory: str) -> None:
    make(maildir, directory)
    fd = layout.open_folder(maildir, ("Entwürfe",))
    assert os.path.samestat(os.fstat(fd), os.stat(maildir / directory))
    os.close(fd)


@pytest.mark.parametrize("name", [INBOX, ("Nothing",), ("Half",), ("Link",)])
def test_open_folder_that_is_not_there(tmp_path: Path, maildir: Path, name: FolderName) -> None:
    (maildir / ".Half").mkdir()
    make(tmp_path, "elsewhere")
    (maildir / ".Link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MailError) as caught:
        layout.open_folder(maildir if name else tmp_path / "gone", name)
    assert caught.value.kind is ErrorKind.NO_SUCH_FOLDER


def test_a_failing_volume_is_no_missing_folder(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(5, "EIO")

    monkeypatch.setattr(os, "open", fail)
    for name in (INBOX, ("Work",)):
        with pytest.raises(MailError) as caught:
            layout.open_folder(maildir, name)
        assert caught.value.kind is ErrorKind.TEMPORARY


def test_a_symlink_is_not_followed(tmp_path: Path, maildir: Path) -> None:
    make(tmp_path, "elsewhere")
    (maildir / ".Work").symlink_to(tmp_path / "elsewhere")
    with layout.opened(maildir) as root, pytest.raises(OSError, match=r"symbolic|directory"):
        layout.open_directory(".Work", root)
    with layout.opened(maildir) as root, pytest.raises(ValueError, match="single"):
        layout.open_directory("../elsewhere", root)


def test_make_maildir_completes_a_half_made_one(maildir: Path) -> None:
    (maildir / ".Work" / "tmp").mkdir(parents=True)
    make(maildir, ".Work")
    assert sorted(p.name for p in (maildir / ".Work").iterdir()) == [
        "cur",
        "maildirfolder",
        "new",
        "tmp",
    ]
    with layout.opened(maildir) as root:
        assert not layout.make_maildir(root, ".Work")
    assert (maildir / ".Work" / "cur").stat().st_mode & 0o777 == 0o700


def test_make_parents(tmp_path: Path) -> None:
    home = tmp_path / "example.test" / "f" / "fr" / "fred"
    layout.make_parents(home, tmp_path, None)
    assert home.stat().st_mode & 0o777 == 0o700
    assert home.parent.stat().st_mode & 0o777 == 0o711
    layout.make_parents(home, tmp_path, None)
    with pytest.raises(FileNotFoundError):  # outside the volume nothing is made
        layout.make_parents(tmp_path / "a", tmp_path / "b", None)
