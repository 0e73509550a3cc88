"""Cleaning of tmp/ by the server's clock."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.store.tmpfiles import MAX_AGE, clean_tmp


@pytest.fixture
def box(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield tmp_path, fd
    os.close(fd)


def aged(path: Path, seconds: float) -> Path:
    if not path.exists():
        path.write_text("x")
    when = time.time() - seconds
    os.utime(path, (when, when))
    return path


def test_only_what_is_old_goes(box: tuple[Path, int]) -> None:
    path, fd = box
    old = aged(path / "old", MAX_AGE + 60)
    young = aged(path / "young", MAX_AGE - 60)
    (path / "folder" / "cur").mkdir(parents=True)
    (path / "folder" / "cur" / "m").write_text("x")
    aged(path / "folder", MAX_AGE + 60)
    assert clean_tmp(fd) == 2
    assert list(path.iterdir()) == [young]
    assert not old.exists()
    assert clean_tmp(fd) == 0


def test_the_server_s_clock_decides(box: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Our clock is two days ahead: nothing is old."""
    path, fd = box
    young = aged(path / "young", 60)
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 48 * 3600)
    assert clean_tmp(fd) == 0
    assert list(path.iterdir()) == [young]


def test_a_link_is_removed_and_not_followed(
    tmp_path_factory: pytest.TempPathFactory, box: tuple[Path, int]
) -> None:
    path, fd = box
    victim = tmp_path_factory.mktemp("victim")
    (victim / "kept").write_text("x")
    (path / "link").symlink_to(victim)
    os.utime(path / "link", (1, 1), follow_symlinks=False)
    assert clean_tmp(fd) == 1
    assert (victim / "kept").exists()


def test_errors_are_ignored(box: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    path, fd = box
    aged(path / "old", MAX_AGE + 60)

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "EIO")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        assert clean_tmp(fd) == 0
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", fail)
        assert clean_tmp(fd) == 0
    assert clean_tmp(fd) == 1
