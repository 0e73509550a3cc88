"""Accounts of several system users on one volume, for tests that run as root."""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from restante.model import INBOX, Account, Quota
from restante.store.account import AccountStore, MailStore
from restante.store.delivery import Incoming
from restante.store.identity import missing_capabilities
from restante.store.volume import create_volume

ANN, BOB = 61001, 61002  # users that need not exist

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or bool(missing_capabilities()),
    reason="needs root with CAP_SETUID and CAP_SETGID: acts as several users",
)
_setfsuid = ctypes.PyDLL(None).setfsuid


@contextmanager
def volume() -> Iterator[Path]:
    """A mail volume that every user may pass through, unlike pytest's own directories."""
    top = Path(tempfile.mkdtemp(prefix="rstown", dir="/tmp"))
    try:
        top.chmod(0o711)
        root = top / "mail"
        create_volume(root)
        root.chmod(0o711)
        yield root
    finally:
        shutil.rmtree(top)


def account(root: Path, name: str, uid: int, *, gid: int = 0, quota: str = "") -> Account:
    home = root / "example.test" / name[:1] / name
    address = f"{name}@example.test"
    return Account(address, uid, gid or uid, home, home / "Maildir", quota=Quota.parse(quota))


def opened(store: MailStore, name: str, uid: int, quota: str = "") -> AccountStore:
    made = store.open_account(account(store.mail_root, name, uid, quota=quota))
    made.ensure()
    return made


def put(target: AccountStore, data: bytes = b"Subject: x\r\n\r\nx\r\n") -> str:
    message = Incoming(target)
    try:
        message.write(data)
        return message.deliver(target, INBOX, last=True).base
    finally:
        message.abort()


def owners_of(path: Path) -> set[tuple[int, int]]:
    """Who owns what lies at and below a path, links not followed."""
    found = set()
    for item in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):  # somebody moved it on
            status = item.lstat()
            found.add((status.st_uid, status.st_gid))
    return found


def fsuid() -> int:
    """The file system uid of this thread, as the kernel has it."""
    return int(_setfsuid(-1))


def setpriv(*words: str) -> list[str]:
    """The command that runs another one with other rights; skips without util-linux."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv of util-linux")
    return ["setpriv", *words]


def run(wrapper: list[str], program: str, *words: str, groups: tuple[int, ...] = ()) -> str:
    """Run a Python program in a process of its own; returns what it prints."""
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", program, *words],
        check=False,
        capture_output=True,
        text=True,
        extra_groups=groups or None,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        cwd="/",
    )
    if done.returncode and f"failed to execute {sys.executable}" in done.stderr:
        pytest.skip("needs a Python that other users can run")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
