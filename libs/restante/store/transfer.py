"""APPEND, COPY and MOVE: messages that get a UID in a folder because a client put them there.

COPY makes hard links in cur/ of the target during a turn at the target, and copies where there can
be no link. The source is not locked: a name that leads nowhere is looked up again after the turn,
and a second turn takes what was found. Links never lie in tmp/, since a link has the date of its
file, and whoever cleans tmp/ takes an old one away.

MOVE takes turns at both folders, in one order for all processes, and renames from cur/ to cur/, so
that the file is always in exactly one of them. Order: rename, sync the target's directory, record
in the target, record in the source. A crash after the rename leaves a file in the target that gets
its UID from the next listing, and a UID in the source that the next listing expunges. Between
accounts the order is copy, record in the target, unlink, record in the source: a crash may leave
the message in both.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from restante.model import Flag, MailError
from restante.store import removal
from restante.store.change_flags import disk_size
from restante.store.durable import create, discard, seal, write_all
from restante.store.faults import GONE
from restante.store.index import LETTERS
from restante.store.layout import opened
from restante.store.maildirsize import is_counted
from restante.store.names import renewed
from restante.store.records import Added
from restante.store.scan import split
from restante.store.transaction import Transaction

if TYPE_CHECKING:
    from restante.store.delivery import Incoming
    from restante.store.mailbox import Mailbox

_NO_LINK: Final = frozenset(
    (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
)
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # see mailbox.py
_CHUNK: Final = 1 << 20
_ATTEMPTS: Final = 4


@dataclass(slots=True)
class _Message:
    """A message on its way: what the target's index will say of it."""

    uid: int  # in the source
    base: bytes
    flags: int
    keywords: tuple[str, ...]
    wire_size: int
    date: int
    size: int  # on disk

    @property
    def filename(self) -> bytes:
        """Its name in the target's cur/."""
        return self.base + b":2," + LETTERS[self.flags]


def append(
    mailbox: "Mailbox",
    incoming: "Incoming",
    flags: Flag,
    keywords: Sequence[str],
    date: int | None,
) -> int:
    """Do `Mailbox.append`."""
    with mailbox.turn() as turn:
        bits = turn.keyword_mask(keywords)
        with turn.changing_cur():
            delivered = incoming.deliver(
                mailbox.owner, mailbox.name, flags=flags, current=True, date=date, last=True
            )
        turn.next_modseq()
        uid = turn.uidnext
        turn.add(
            Added(
                uid,
                int(flags),
                bits,
                delivered.wire_size,
                delivered.date,
                os.fsencode(delivered.base),
            )
        )
        try:
            turn.commit()
        except MailError:
            with suppress(OSError):
                os.unlink(b"cur/" + os.fsencode(delivered.filename), dir_fd=turn.folder)
            raise
        return uid


def copy(source: "Mailbox", uids: Sequence[int], target: "Mailbox") -> list[tuple[int, int]]:
    """Do `Mailbox.copy`."""
    messages = _describe(source, uids)
    _charge(target, messages, check=True)
    pairs: list[tuple[int, int]] = []
    placed: list[_Message] = []
    try:
        for _ in range(_ATTEMPTS):
            if not messages:
                break
            lost = _copy_round(source, messages, target, pairs)
            placed += [message for message in messages if message not in lost]
            if lost:
                source.refresh(scan=True)
            messages = [message for message in lost if source.find(message.uid) >= 0]
    except BaseException:
        with suppress(MailError):
            target.remove([new for _, new in pairs])
        raise
    _charge(target, placed)
    return sorted(pairs)


def _copy_round(
    source: "Mailbox",
    messages: Sequence[_Message],
    target: "Mailbox",
    pairs: list[tuple[int, int]],
) -> list[_Message]:
    """Link what can be found into the target and give it UIDs; returns what was not found."""
    lost: list[_Message] = []
    placed: list[_Message] = []
    with ExitStack() as stack:
        folder = source.open_folder()
        stack.callback(os.close, folder)
        turn = stack.enter_context(target.turn())
        cur = stack.enter_context(opened("cur", turn.folder))
        try:
            with turn.changing_cur():
                for message in messages:
                    if _place(source, message, folder, turn, cur):
                        placed.append(message)
                    else:
                        lost.append(message)
            if placed:
                os.fsync(cur)
                pairs += _add(turn, placed)
        except BaseException:
            for message in placed:
                with suppress(OSError):
                    os.unlink(message.filename, dir_fd=cur)
            raise
    return lost


def _add(turn: Transaction, messages: Sequence[_Message]) -> list[tuple[int, int]]:
    """Give UIDs to files that are in cur/ now. BLOCKING; MailError(TEMPORARY) when disk is full."""
    turn.next_modseq()
    pairs = []
    for message in messages:
        uid = turn.uidnext
        turn.add(
            Added(
                uid,
                message.flags,
                _mask(turn, message.keywords),
                message.wire_size,
                message.date,
                message.base,
            )
        )
        pairs.append((message.uid, uid))
    turn.commit()
    return pairs


def _charge(target: "Mailbox", messages: Sequence[_Message], *, check: bool = False) -> None:
    """Add to the quota what counts there; with `check`, only ask whether it fits (OVER_QUOTA)."""
    counted = [m.size for m in messages if is_counted(target.name, Flag(m.flags))]
    if counted:
        act = target.owner.check_quota if check else target.owner.charge
        act(sum(counted), len(counted), folder=target.name)


def _describe(source: "Mailbox", uids: Sequence[int]) -> list[_Message]:
    """Note what is copied, each under a new base name; messages that are gone are left out."""
    columns = source.columns
    words = source.keywords
    messages = []
    for uid in sorted(set(uids)):
        row = columns.find(uid)
        if row < 0:
            continue
        old = columns.base(row)
        messages.append(
            _Message(
                uid,
                renewed(old),
                columns.flags[row],
                _words(words, columns.keyword_bits[row]),
                columns.wire_sizes[row],
                columns.dates[row],
                disk_size(columns, row),
            )
        )
    return messages


def _words(words: tuple[str, ...], bits: int) -> tuple[str, ...]:
    return tuple(word for bit, word in enumerate(words) if bits >> bit & 1)


def _place(source: "Mailbox", message: _Message, folder: int, turn: Transaction, cur: int) -> bool:
    """Link or copy one message into cur/ of the target; False where its name leads nowhere."""
    try:
        path = source.path_of(message.uid)
    except MailError:
        return False
    try:
        os.link(path, message.filename, src_dir_fd=folder, dst_dir_fd=cur, follow_symlinks=False)
    except OSError as error:
        if error.errno in GONE:
            return False
        if error.errno not in _NO_LINK:
            raise
        try:
            with source.acting():  # as its owner, who may not be the target's
                fd = os.open(path, _READ, dir_fd=folder)
        except OSError as gone:
            if gone.errno in GONE:
                return False
            raise
        _copy_file(fd, turn, message, cur)
    return True


def move(source: "Mailbox", uids: Sequence[int], target: "Mailbox") -> list[tuple[int, int]]:
    """Do `Mailbox.move`."""
    if source.owner.maildir != target.owner.maildir:
        return _move_by_copy(source, uids, target)
    if source is target or source.name == target.name:
        with source.turn() as turn:
            messages = _move_files(turn, turn, uids)
            if not messages:
                return []
            turn.expunge([message.uid for message in messages])
            return _add(turn, messages)
    with ExitStack() as stack:
        first, second = sorted((source, target), key=lambda mailbox: mailbox.name)
        turns = {mailbox: stack.enter_context(mailbox.turn()) for mailbox in (first, second)}
        here, there = turns[source], turns[target]
        messages = _move_files(here, there, uids)
        if not messages:
            return []
        with opened("cur", there.folder) as cur:
            os.fsync(cur)
        pairs = _add(there, messages)
        here.expunge([message.uid for message in messages])
        here.commit()
    counted_here = [m for m in messages if is_counted(source.name, Flag(m.flags))]
    if counted_here and not is_counted(target.name, Flag(0)):
        size = -sum(m.size for m in counted_here)
        source.owner.charge(size, -len(counted_here), folder=source.name)
    elif not is_counted(source.name, Flag(0)):
        _charge(target, messages)
    return pairs


def _move_files(here: Transaction, there: Transaction, uids: Sequence[int]) -> list[_Message]:
    """Rename files from cur/ to cur/; returns those that were there to move."""
    source = here.index
    columns = source.columns
    same = here is there
    moved: list[_Message] = []
    lost: dict[bytes, int] = {}
    with ExitStack() as stack:
        stack.enter_context(here.changing_cur())
        if not same:
            stack.enter_context(there.changing_cur())
        cur = stack.enter_context(opened("cur", there.folder))
        for uid in sorted(set(uids)):
            row = columns.find(uid)
            if row < 0:
                continue
            name = source.filename(row, columns)
            message = _moved(here, there, cur, row, b"cur/" + name)
            if message is None:
                lost[columns.base(row)] = uid
            else:
                moved.append(message)
        for _ in range(_ATTEMPTS):
            if not lost:
                break
            found = here.locate(lost)
            lost = {base: uid for base, uid in lost.items() if base in found}
            for base, path in found.items():
                message = _moved(here, there, cur, columns.find(lost[base]), path)
                if message is not None:
                    moved.append(message)
                    del lost[base]
    moved.sort(key=lambda message: message.uid)
    return moved


def _moved(
    here: Transaction, there: Transaction, cur: int, row: int, path: bytes
) -> _Message | None:
    """Rename one file; None where it was not there."""
    columns = here.index.columns
    base = columns.base(row)
    flags = split(path)[1]
    if here is there or there.index.columns.uid_of_base(base):
        base = renewed(base)
    try:
        os.rename(path, base + b":2," + LETTERS[flags], src_dir_fd=here.folder, dst_dir_fd=cur)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    return _Message(
        columns.uids[row],
        base,
        flags,
        _words(here.index.keywords, columns.keyword_bits[row]),
        columns.wire_sizes[row],
        columns.dates[row],
        disk_size(columns, row),
    )


def _move_by_copy(
    source: "Mailbox", uids: Sequence[int], target: "Mailbox"
) -> list[tuple[int, int]]:
    """Move to another account: copy, then remove what was copied."""
    pairs = copy(source, uids, target)
    with source.turn() as turn:
        removal.remove(turn, [uid for uid, _ in pairs])
    return pairs


def _mask(turn: Transaction, keywords: Sequence[str]) -> int:
    """Return keyword bits in the target; keywords beyond its limit are left behind."""
    mask = 0
    for word in keywords:
        try:
            mask |= turn.keyword_mask((word,))
        except MailError:
            return mask
    return mask


def _copy_file(fd: int, turn: Transaction, message: _Message, cur: int) -> None:
    """Copy an open message by way of tmp/; closes it."""
    with ExitStack() as stack:
        stack.callback(os.close, fd)
        tmp = stack.enter_context(opened("tmp", turn.folder))
        out, name = create(tmp, os.fsdecode(message.base))
        try:
            try:
                while piece := os.read(fd, _CHUNK):
                    write_all(out, piece)
            except BaseException:
                os.close(out)
                raise
            seal(out, int(os.fstat(fd).st_mtime))
            os.rename(name, message.filename, src_dir_fd=tmp, dst_dir_fd=cur)
        except BaseException:
            discard(tmp, name)
            raise
