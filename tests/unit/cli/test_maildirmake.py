"""maildirmake against what Courier's (1.0.16, Debian) does with the same words."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from restante.cli.maildirmake import maildirmake
from restante.model import Quota
from restante.store import layout


def modes(top: Path) -> dict[str, str]:
    return {
        str(path.relative_to(top.parent)): stat.filemode(path.stat().st_mode)
        for path in (top, *top.rglob("*"))
    }


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=[0o022, 0o077, 0o000])
def any_umask(request: pytest.FixtureRequest) -> object:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("any_umask")
@pytest.mark.parametrize(
    ("words", "made", "expected"),
    [
        ((["a"],), "a", "drwx------ drwx------ drwx------ drwx------"),
        ((["-S", "a"],), "a", "drwxr-xr-x drwx------ drwx------ drwx------"),
        ((["a"], ["-f", "B", "a"]), "a/.B", "drwx------ drwx------ drwx------ drwx------"),
        ((["a"], ["-S", "-f", "B", "a"]), "a/.B", "drwxr-xr-x drwxr-xr-x drwxr-xr-x drwxr-xr-x"),
        (
            (["-S", "a"], ["-s", "read", "-f", "B", "a"]),
            "a/.B",
            "drwxr-xr-x drwxr-xr-x drwxr-xr-x drwxr-xr-x",
        ),
        (
            (["-S", "a"], ["-s", "write", "-f", "B", "a"]),
            "a/.B",
            "drwxr-xr-t drwxrwxrwt drwxrwxrwt drwxrwxrwt",
        ),
        (
            (["-S", "a"], ["-s", "read,group", "-f", "B", "a"]),
            "a/.B",
            "drwxr-x--- drwxr-x--- drwxr-x--- drwxr-x---",
        ),
        (
            (["-S", "a"], ["-s", "write,group", "-f", "B", "a"]),
            "a/.B",
            "drwxr-x--T drwxrwx--T drwxrwx--T drwxrwx--T",
        ),
    ],
)
def test_modes(words: tuple[list[str], ...], made: str, expected: str) -> None:
    for line in words:
        assert maildirmake(line) == 0
    found = modes(Path(made))
    top = Path(made).name
    assert " ".join(found[f"{top}{sub}"] for sub in ("", "/cur", "/new", "/tmp")) == expected
    if top.startswith("."):
        assert found[f"{top}/maildirfolder"] == "-rw-------"


def test_a_quota(capsys: pytest.CaptureFixture[str]) -> None:
    assert maildirmake(["-q", "1000000S,100C", "a"]) == 0
    lines = Path("a/maildirsize").read_text().splitlines()
    assert lines == ["1000000S,100C", "           0            0"]
    Path("a/new/1.M1P1.host,S=7").write_text("7 bytes")
    assert maildirmake(["-q", "10C,5000S", "a"]) == 0
    lines = Path("a/maildirsize").read_text().splitlines()
    assert lines == ["5000S,10C", "           7            1"]
    assert maildirmake(["-q", "0S", "a"]) == 0
    assert not Path("a/maildirsize").exists()
    assert maildirmake(["-q", "5", "b"]) == 0
    assert capsys.readouterr().err == "WARN: quota string '5' not parseable\n"
    assert sorted(os.listdir("b")) == ["cur", "new", "tmp"]


@pytest.mark.parametrize(
    "words",
    [[], ["-z", "a"], ["--help"], ["-q"], ["-f", "x"], ["a", "b"], ["-s", "read", "a"]],
)
def test_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert maildirmake(words) == 1
    assert capsys.readouterr().err == "Usage: maildirmake [ options ] maildir\n"


def test_errors_have_couriers_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert maildirmake(["a"]) == 0
    for words, text in (
        (["a"], "maildirmake: a: File exists"),
        (["a/b/c"], "maildirmake: a/b/c: No such file or directory"),
        (["-f", "x", "nowhere"], "maildirmake: nowhere/.x: No such file or directory"),
        (["-f", ".x", "a"], "Invalid folder name: .x"),
        (["-f", "../x", "a"], "Invalid folder name: ../x"),
        (["-f", "a/b", "a"], "Invalid folder name: a/b"),
        (["-f", "a..b", "a"], "Invalid folder name: a..b"),
        (["-f", "", "a"], "Invalid folder name: "),
    ):
        assert maildirmake(words) == 1
        assert capsys.readouterr().err == text + "\n"
    assert maildirmake(["-f", "Sent", "a"]) == 0
    assert maildirmake(["-f", "Sent", "a"]) == 1
    assert capsys.readouterr().err == "maildirmake: a/.Sent: File exists\n"


@pytest.mark.parametrize("name", ["Sent.2020", "Été", "R&AOk-sum&AOk-"])
def test_the_store_sees_the_folder(name: str) -> None:
    maildirmake(["a"])
    assert maildirmake(["-f", name, "a"]) == 0
    with layout.opened("a") as root:
        found = layout.list_folders(root)
    assert f".{name}" in found.values()


def test_as_a_program_without_a_running_system() -> None:
    run = "from restante.cli.maildirmake import main; import sys; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", run, "-q", "5S", "m"], check=False)
    assert done.returncode == 0
    assert Quota.parse(Path("m/maildirsize").read_text().split("\n")[0]) == Quota(5)
