"""`maildirmake`: makes Maildirs and folders with Courier's options, modes and words.

Works on files alone, nothing has to run. Differences from Courier's: a folder name that no mail
program could show ("a..b", "") is refused; a quota that cannot be read leaves the Maildir without
one, with a warning, as Courier's does.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from restante.cli.classic import application, run_command
from restante.model import MailError, Quota
from restante.store import layout, maildirsize

NAME: Final = "maildirmake"
_USAGE: Final = "Usage: maildirmake [ options ] maildir"

_PRIVATE: Final = (0o700, 0o700)  # of the directory, and of cur, new and tmp
_SHARABLE: Final = (0o755, 0o700)  # -S: the folders inside are shared, its INBOX is not
_READABLE: Final = (0o755, 0o755)
_WRITABLE: Final = (0o1755, 0o1777)


@dataclass(slots=True)
class _Options:
    maildir: str = ""
    quota: str | None = None
    folder: str | None = None
    sharable: bool = False
    share: str | None = None


def maildirmake(words: Sequence[str]) -> int:
    """Do what the words say; return the exit code."""
    options = _parse(words)
    if options is None:
        sys.stderr.write(f"{_USAGE}\n")
        return 1
    maildir = Path(options.maildir)
    try:
        if options.folder is not None:
            return _make_folder(maildir, options.folder, _modes(options))
        if options.quota is None or not maildir.exists():
            _make(maildir, _SHARABLE if options.sharable else _PRIVATE)
        if options.quota is not None:
            _set_quota(maildir, options.quota)
    except OSError as error:
        sys.stderr.write(f"{NAME}: {error.filename or maildir}: {error.strerror}\n")
        return 1
    return 0


def _parse(words: Sequence[str]) -> _Options | None:
    options = _Options()
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        letter, value = word[1:2], word[2:]
        if letter == "S" and not value:
            options.sharable = True
            continue
        if letter not in ("q", "f", "F", "s") or not (value or rest):
            return None
        value = value or rest.pop(0)
        if letter == "q":
            options.quota = value
        elif letter == "s":
            options.share = value
        else:
            options.folder = value
    if len(rest) != 1 or not rest[0]:
        return None
    if options.folder is None and options.share is not None:
        return None
    if options.folder is not None and options.quota is not None:
        return None
    options.maildir = rest[0]
    return options


def _modes(options: _Options) -> tuple[int, int]:
    """Return the modes of a folder and of its three directories."""
    if options.share is None:
        return _READABLE if options.sharable else _PRIVATE
    words = options.share.split(",")
    top, inner = _WRITABLE if "write" in words else _READABLE
    if "group" in words:
        return top & ~0o007, inner & ~0o007
    return top, inner


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    """Open a directory; for root no symbolic link that somebody else may have put there."""
    flags = layout.DIRECTORY_FLAGS
    fd = os.open(path, flags if os.geteuid() == 0 else flags & ~os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)


def _make(path: Path, modes: tuple[int, int], *, mark: bool = False) -> None:
    """Make a Maildir, or with `mark` a folder in one; what root makes is the Maildir's owner's."""
    outer, inner = modes
    try:
        with _directory(path.parent) as parent:
            owner = os.fstat(parent) if mark and os.geteuid() == 0 else None
            os.mkdir(path.name, 0o700, dir_fd=parent)
            with layout.opened(path.name, parent) as folder:
                for name in layout.SUBDIRECTORIES:
                    os.mkdir(name, 0o700, dir_fd=folder)
                    with layout.opened(name, folder) as fd:
                        _finish(fd, inner, owner)
                if mark:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                    fd = os.open(layout.MARK, flags, 0o600, dir_fd=folder)
                    try:
                        _finish(fd, 0o600, owner)
                    finally:
                        os.close(fd)
                _finish(folder, outer, owner)
                os.fsync(folder)
            os.fsync(parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _finish(fd: int, mode: int, owner: os.stat_result | None) -> None:
    if owner is not None:
        os.fchown(fd, owner.st_uid, owner.st_gid)
    os.fchmod(fd, mode)


def _make_folder(maildir: Path, name: str, modes: tuple[int, int]) -> int:
    directory = f".{name}"
    if layout.folder_of(directory) is None or "/" in name:
        sys.stderr.write(f"Invalid folder name: {name}\n")
        return 1
    _make(maildir / directory, modes, mark=True)
    return 0


def _set_quota(maildir: Path, text: str) -> None:
    try:
        quota = Quota.parse(text)
    except MailError:
        sys.stderr.write(f"WARN: quota string '{text}' not parseable\n")
        return
    with _directory(maildir) as root:
        if not quota:
            maildirsize.remove(root)
            return
        maildirsize.recalculate(root, quota)
        if os.geteuid() == 0:
            owner = os.fstat(root)
            name = maildirsize.NAME
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=root, follow_symlinks=False)


app = application(NAME, maildirmake, "Make a Maildir or a folder, as Courier's maildirmake.")


def main() -> int:
    """Run as the program `maildirmake`."""
    return run_command(NAME, maildirmake, sys.argv[1:])
