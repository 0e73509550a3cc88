"""The file `maildirsize`: how much of a Maildir++ quota is used, shared with Courier and exim.

Line 1 is the quota ("<n>S,<n>C"), each later line two signed integers, bytes and messages, whose
sum is what is used. We append Courier's padded form and read any form. The account's quota is the
truth; the file is written with it, since for Courier the file's first line defines the quota and
no file means none.

Counted is every message but those in .Trash and those with the T flag, at its size on disk
(",S=" of the name, else stat).

Recalculation: no file, another quota in line 1, 5120 bytes or more, unreadable lines, negative
sums; or over quota while the file has more than one line of sums or is older than 15 minutes, so
that nobody is refused for stale numbers.

Races: appends are atomic between processes of one host. Between hosts of a network volume one may
overwrite another's line, and a writer that appends to the file being replaced is not seen by the
new one. Maildir++ accepts this: usage is an estimate that the next recalculation mends. After a
recalculation the directories are looked at again; if they moved meanwhile, a line of zeros marks
the sum as worth recalculating before anyone is refused.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from restante.model import Flag, FolderName, MailError, Quota
from restante.store.layout import list_folders, open_directory, opened, read_plain
from restante.store.names import unique_name

NAME: Final = "maildirsize"
TRASH: Final[FolderName] = ("Trash",)

_SIZE: Final = re.compile(r",S=([0-9]{1,15})(?:,|$)")
_MAX_FILE: Final = 5120
_MAX_WHILE_COUNTING: Final = 16 * _MAX_FILE
_MAX_MEMOS: Final = 256
_STALE: Final = 15 * 60  # seconds
# Not blocking: a pipe that somebody put there must not hold a thread for ever.
_OPEN: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Usage:
    """What is used of a quota."""

    bytes: int
    messages: int

    def fits(self, limit: Quota, more_bytes: int, more_messages: int) -> bool:
        """Tell whether that much more stays within the limit (exactly the limit does)."""
        over_bytes = limit.bytes and self.bytes + more_bytes > limit.bytes
        over_messages = limit.messages and self.messages + more_messages > limit.messages
        return not (over_bytes or over_messages)


@dataclass(frozen=True, slots=True)
class _File:
    usage: Usage
    lines: int  # lines of sums
    size: int
    mtime: float


def is_counted(name: FolderName, flags: Flag) -> bool:
    """Tell whether a message with these flags in this folder counts."""
    return name != TRASH and not flags & Flag.DELETED


def usage(maildir: int, limit: Quota) -> Usage:
    """Return what is used, from the file or, where that cannot be trusted, by counting.

    BLOCKING; OSError.
    """
    known = _load(maildir, limit)
    if known is None or known.size >= _MAX_FILE:
        return _recount(maildir, limit, known)
    return known.usage


def peek(maildir: int) -> Usage | None:
    """Return what the file says, whatever its limit is; None without one. BLOCKING; OSError."""
    data = read_plain(maildir, NAME, _MAX_WHILE_COUNTING)
    if data is None:
        return None
    try:
        numbers = [int(text) for text in data.partition(b"\n")[2].split()]
    except ValueError:
        return Usage(-1, -1)  # what no count equals
    return Usage(sum(numbers[::2]), sum(numbers[1::2]))


def check(maildir: int, limit: Quota, size: int, count: int) -> bool:
    """Tell whether `size` bytes in `count` messages still fit. BLOCKING; OSError."""
    known = _load(maildir, limit)
    if known is None or known.size >= _MAX_FILE:
        return _recount(maildir, limit, known).fits(limit, size, count)
    if known.usage.fits(limit, size, count):
        return True
    if known.lines > 1 or time.time() - known.mtime > _STALE:
        return _recount(maildir, limit, None).fits(limit, size, count)
    return False


def add(maildir: int, size: int, count: int) -> None:
    """Add to what is used (negative: subtract). Errors are ignored: it is an estimate. BLOCKING.

    Without a file nothing is written: the next reader counts afresh.
    """
    with suppress(OSError), _opened(maildir) as fd:
        if fd >= 0:
            os.write(fd, f"{size:12} {count:12}\n".encode())


class _opened:  # noqa: N801 - a context manager that reads like a function
    """The open file, or -1 where there is none; lighter than a generator on the hot path."""

    __slots__ = ("_fd", "_maildir")

    def __init__(self, maildir: int) -> None:
        self._maildir = maildir

    def __enter__(self) -> int:
        try:
            self._fd = os.open(NAME, _OPEN, dir_fd=self._maildir)
        except FileNotFoundError:
            self._fd = -1
        return self._fd

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _load(maildir: int, limit: Quota) -> _File | None:
    """Return what the file says, None where it must be recalculated."""
    with _opened(maildir) as fd:
        if fd < 0:
            return None
        data = os.read(fd, _MAX_WHILE_COUNTING)
        status = os.fstat(fd)
    if not data.endswith(b"\n") or len(data) == _MAX_WHILE_COUNTING:
        return None
    # A file only grows until it is replaced: what was summed up once need not be again. The old
    # bytes are compared, as an inode says nothing about which file it is.
    key = (status.st_dev, status.st_ino)
    memo = _memo.get(key)
    if memo is None or memo.limit != limit or not data.startswith(memo.data):
        head, _, _ = data.partition(b"\n")
        if not _defines(head, limit):
            return None
        memo = _Memo(limit, head + b"\n", 0, 0, 0)
    rows = data[len(memo.data) :]
    if rows:
        numbers = rows.split()
        lines = rows.count(b"\n")
        if len(numbers) != 2 * lines:
            return None
        try:
            more = sum(map(int, numbers[::2])), sum(map(int, numbers[1::2]))
        except ValueError:
            return None
        memo = _Memo(limit, data, memo.bytes + more[0], memo.messages + more[1], memo.lines + lines)
        if len(_memo) >= _MAX_MEMOS:
            _memo.clear()
        _memo[key] = memo
    if not memo.lines or memo.bytes < 0 or memo.messages < 0:
        return None
    return _File(Usage(memo.bytes, memo.messages), memo.lines, len(data), status.st_mtime)


@dataclass(frozen=True, slots=True)
class _Memo:
    """The sums of a file that begins with `data`."""

    limit: Quota
    data: bytes
    bytes: int
    messages: int
    lines: int


_memo: dict[tuple[int, int], _Memo] = {}  # by device and inode; any thread, the last one wins


def _defines(head: bytes, limit: Quota) -> bool:
    try:
        return Quota.parse(head.decode("ascii").strip()) == limit
    except (UnicodeDecodeError, MailError):
        return False


_counting: set[tuple[int, int]] = set()
_counting_changed = threading.Condition()


def _recount(maildir: int, limit: Quota, known: _File | None) -> Usage:
    """Recalculate, one thread a Maildir: the others go on with `known`, or wait where it is None.

    A busy mailbox would otherwise be counted by all deliveries at once.
    """
    status = os.fstat(maildir)
    key = (status.st_dev, status.st_ino)
    with _counting_changed:
        busy = key in _counting
        if busy and known is not None:
            return known.usage
        while key in _counting:
            _counting_changed.wait()
        if not busy:
            _counting.add(key)
    if busy:  # somebody has just finished; if that failed, we count after all
        fresh = _load(maildir, limit)
        return fresh.usage if fresh else recalculate(maildir, limit)
    try:
        return recalculate(maildir, limit)
    finally:
        with _counting_changed:
            _counting.discard(key)
            _counting_changed.notify_all()


def recalculate(maildir: int, limit: Quota) -> Usage:
    """Count all messages and replace the file. BLOCKING, slow; OSError.

    Where the file cannot be written (full disk, read-only) the count is still returned.
    """
    before = _times(maildir)
    counted = count(maildir)
    written = _replace(maildir, limit, counted)
    if written and _times(maildir) != before:
        add(maildir, 0, 0)
    return counted


def count(maildir: int) -> Usage:
    """Count what the quota counts, from the directories. BLOCKING, slow; OSError."""
    size = messages = 0
    for folder in _counted_folders(maildir):
        own = count_folder(folder)
        size += own.bytes
        messages += own.messages
    return Usage(size, messages)


def count_folder(folder: int) -> Usage:
    """Count one folder, open as `folder`. BLOCKING; OSError."""
    size = messages = 0
    for part in ("new", "cur"):
        try:
            directory = open_directory(part, folder)
        except FileNotFoundError:
            continue
        try:
            for name in os.listdir(directory):
                if name.startswith("."):
                    continue
                base, _, letters = name.partition(":2,")
                if "T" in letters:
                    continue
                known = _SIZE.search(base)
                if known:
                    size += int(known[1])
                else:
                    try:
                        size += os.stat(name, dir_fd=directory, follow_symlinks=False).st_size
                    except FileNotFoundError:  # removed or renamed since it was listed
                        continue
                messages += 1
        finally:
            os.close(directory)
    return Usage(size, messages)


def _counted_folders(maildir: int) -> Iterator[int]:
    for name, directory in list_folders(maildir).items():
        if name == TRASH:
            continue
        try:
            with opened(directory, maildir) as folder:
                yield folder
        except FileNotFoundError:  # deleted since it was listed
            continue


def _times(maildir: int) -> list[tuple[int, int]]:
    """The directories' inodes and mtimes: whether anything came, went or was renamed."""
    times = []
    for folder in _counted_folders(maildir):
        for part in ("new", "cur"):
            with suppress(FileNotFoundError):
                status = os.stat(part, dir_fd=folder, follow_symlinks=False)
                times.append((status.st_ino, status.st_mtime_ns))
    return times


def _replace(maildir: int, limit: Quota, counted: Usage) -> bool:
    text = f"{limit}\n{counted.bytes:12} {counted.messages:12}\n".encode()
    temporary = unique_name()
    try:
        with opened("tmp", maildir) as tmp:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o600, dir_fd=tmp)
            try:
                try:
                    if os.write(fd, text) != len(text):
                        raise OSError("short write")
                finally:
                    os.close(fd)
                os.rename(temporary, NAME, src_dir_fd=tmp, dst_dir_fd=maildir)
            except OSError:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=tmp)
                raise
    except OSError:
        return False
    return True


def remove(maildir: int) -> None:
    """Remove the file: the account has no quota, and Courier must not see an old one."""
    with suppress(OSError):
        os.unlink(NAME, dir_fd=maildir)
