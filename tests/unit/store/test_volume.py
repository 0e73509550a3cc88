"""The sentinel of the mail volume."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from restante.model import Account, ErrorKind, MailError
from restante.store import volume
from restante.store.account import MailStore
from restante.store.hints import Hints
from restante.store.volume import SENTINEL, VolumeCheck, Volumes, check_volume, create_volume


def test_an_unmounted_mount_point_is_refused(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(MailError, match=r"\.restante-volume") as caught:
            check_volume(root)
        assert caught.value.kind is ErrorKind.TEMPORARY


def test_a_volume_is_created_once(tmp_path: Path) -> None:
    root = tmp_path / "srv" / "mail"
    create_volume(root)
    check_volume(root)
    (root / SENTINEL).write_text("kept")
    create_volume(root)
    assert (root / SENTINEL).read_text() == "kept"


def test_the_deepest_volume_above_a_path(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "one" / "two"
    volumes = Volumes(tmp_path, (one, two))
    assert volumes.of(tmp_path / "fred") == tmp_path
    assert volumes.of(one / "fred") == one
    assert volumes.of(two / "f" / "fred") == two
    assert volumes.of(tmp_path / "onetwo") == tmp_path
    assert volumes.of(Path("/elsewhere")) == tmp_path


def test_all_volumes_are_checked(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    create_volume(one)
    two.mkdir()
    with pytest.raises(MailError, match="two"):
        Volumes(one, (two,)).check()
    create_volume(two)
    Volumes(one, (two,)).check()


def _account(home: Path) -> Account:
    return Account(f"{home.name}@example.test", os.getuid(), os.getgid(), home, home / "Maildir")


def test_an_account_of_a_volume_that_is_away(tmp_path: Path) -> None:
    """Its mount point takes no mail, though the mail root is there; other accounts are served."""
    root, one = tmp_path / "mail", tmp_path / "mail" / "one"
    create_volume(root)
    one.mkdir()  # an empty mount point
    store = MailStore(root, hints=Hints(), volumes=[one])
    with pytest.raises(MailError) as caught:
        store.open_account(_account(one / "fred")).ensure()
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert list(one.iterdir()) == []
    store.open_account(_account(root / "jane")).ensure()
    create_volume(one)
    store.open_account(_account(one / "fred")).ensure()
    assert (one / "fred/Maildir/cur").is_dir()


async def test_a_hanging_volume_occupies_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_volume(tmp_path)
    check = VolumeCheck([tmp_path])
    await check()
    hanging = threading.Event()
    asked: list[Path] = []

    def hang(path: Path) -> None:
        asked.append(path)
        hanging.wait(30)

    monkeypatch.setattr(volume, "check_volume", hang)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await check()
    assert asked == [tmp_path]
    waiting = asyncio.ensure_future(check())
    hanging.set()
    await waiting
    monkeypatch.undo()
    (tmp_path / SENTINEL).unlink()
    with pytest.raises(MailError):
        await check()
