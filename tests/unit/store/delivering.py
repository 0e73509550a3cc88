"""Helpers of the delivery tests: a store, an account, what lies on the disk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restante.model import Account, Quota
from restante.store.account import AccountStore, MailStore
from restante.store.delivery import Incoming
from restante.store.hints import Hints
from restante.store.pool import StorePool
from restante.store.volume import create_volume

MESSAGE = b"Subject: hello\r\n\r\nbody\0\r\n.\r\nbare\rcr\r\n"


class Published(Hints):
    """Remembers what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[Path, tuple[str, ...]]] = []

    def publish(self, maildir: Path, folder: tuple[str, ...]) -> None:
        self.all.append((maildir, folder))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MailStore]:
    create_volume(tmp_path)
    store = MailStore(tmp_path, hints=Published(), pool=StorePool(1))
    yield store
    store.handles.close()


def account(store: MailStore, name: str = "fred", quota: str = "") -> AccountStore:
    home = store.mail_root / "example.test" / name[:1] / name[:2] / name
    opened = store.open_account(
        Account(
            f"{name}@example.test",
            os.getuid(),
            os.getgid(),
            home,
            home / "Maildir",
            quota=Quota.parse(quota),
        )
    )
    opened.ensure()
    return opened


@pytest.fixture
def fred(store: MailStore) -> AccountStore:
    return account(store)


def incoming(target: AccountStore, *chunks: bytes) -> Incoming:
    message = Incoming(target)
    for chunk in chunks or (MESSAGE,):
        message.write(chunk)
    return message


def files(target: AccountStore, folder: str = ".") -> dict[str, list[str]]:
    root = target.maildir / folder
    return {part: sorted(p.name for p in (root / part).iterdir()) for part in ("tmp", "new", "cur")}


def assert_clean(target: AccountStore) -> None:
    assert files(target) == {"tmp": [], "new": [], "cur": []}


# -- the usual ways ------------------------------------------------------------------------------


def failing(
    monkeypatch: pytest.MonkeyPatch, name: str, code: int, *, on: Callable[..., bool] | None = None
) -> list[int]:
    """Let the os function fail (after the first `on` that says so); returns where it counts."""
    real = getattr(os, name)
    count: list[int] = []

    def fail(*args: Any, **kwargs: Any) -> Any:
        if on is None or on(*args, **kwargs):
            count.append(1)
            raise OSError(code, "injected")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, fail)
    return count
