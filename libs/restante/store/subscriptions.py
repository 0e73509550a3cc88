"""Lists of folder names per account: subscriptions in Courier's file, and special uses.

`courierimapsubscribed` has a name a line, "INBOX" or "INBOX.Work.2026", in UTF-8 (older: modified
UTF-7), and names of other namespaces ("#shared...") that are kept as they are, so that Courier
can go back to it at any time. While it does not exist, Dovecot's `subscriptions` is read (with or
without the header "V\\t2" of its second version).

`restante.special-use` is ours: "<attribute> <name>" a line (RFC 6154), for folders that have a use
other than their name tells.

Both are replaced as a whole: tmp/, fsync, rename, fsync of the directory, under the account's lock
(accountfile.py). Readers take no lock and see the old or the new file.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from restante.model import INBOX, FolderName
from restante.store import durable
from restante.store.accountfile import account_file
from restante.store.layout import disk_name, folder_of, open_directory, read_plain
from restante.store.names import unique_name

COURIER: Final = "courierimapsubscribed"
DOVECOT: Final = "subscriptions"
SPECIAL_USE: Final = "restante.special-use"

_MAX_BYTES: Final = 4 << 20
_PREFIX: Final = "INBOX."


def line_of(name: FolderName) -> str:
    """Return Courier's text for a folder."""
    return "INBOX" if name == INBOX else _PREFIX + disk_name(name)[1:]


def name_of(line: str) -> FolderName | None:
    """Return the folder of Courier's text, None for a name of another namespace or none."""
    if line.upper() == "INBOX":
        return INBOX
    if line[: len(_PREFIX)].upper() == _PREFIX:
        return folder_of("." + line[len(_PREFIX) :])
    return None


def subscriptions(maildir: int) -> list[FolderName]:
    """Return the subscribed folders, in the file's order. BLOCKING; OSError."""
    names = (name_of(line) for line in _lines(maildir))
    return list(dict.fromkeys(name for name in names if name is not None))


def subscribe(maildir: int, names: Iterable[FolderName]) -> None:
    """Add folders, whether they exist or not. BLOCKING; OSError, MailError(TEMPORARY)."""
    wanted = list(names)

    def change(lines: list[str]) -> list[str]:
        have = {name_of(line) for line in lines}
        return lines + [line_of(name) for name in wanted if name not in have]

    _change(maildir, COURIER, _lines, change)


def unsubscribe(maildir: int, name: FolderName) -> None:
    """Remove a folder in every spelling. BLOCKING; OSError, MailError(TEMPORARY)."""
    _change(
        maildir,
        COURIER,
        _lines,
        lambda lines: [line for line in lines if name_of(line) != name],
    )


def special_uses(maildir: int) -> dict[FolderName, str]:
    """Return {folder: attribute, "" for explicitly none}. BLOCKING; OSError."""
    uses: dict[FolderName, str] = {}
    for line in _special_lines(maildir):
        attribute, _, text = line.partition(" ")
        name = name_of(text)
        if name is not None:
            uses[name] = "" if attribute == "-" else attribute
    return uses


def change_special_uses(
    maildir: int, change: Callable[[dict[FolderName, str]], dict[FolderName, str]]
) -> None:
    """Replace the special uses by `change(current)`. BLOCKING; OSError, MailError(TEMPORARY)."""

    def rewrite(_: list[str]) -> list[str]:
        uses = change(special_uses(maildir))
        return [f"{attribute or '-'} {line_of(name)}" for name, attribute in uses.items()]

    _change(maildir, SPECIAL_USE, _special_lines, rewrite)


def _lines(maildir: int) -> list[str]:
    data = read_plain(maildir, COURIER, _MAX_BYTES)
    if data is not None:
        return _split(data)
    data = read_plain(maildir, DOVECOT, _MAX_BYTES)
    return [] if data is None else _dovecot_lines(_split(data))


def _special_lines(maildir: int) -> list[str]:
    return _split(read_plain(maildir, SPECIAL_USE, _MAX_BYTES) or b"")


def _dovecot_lines(lines: list[str]) -> list[str]:
    """Turn Dovecot's names into Courier's: no prefix there, and TAB between components in V2."""
    if lines and lines[0].startswith("V\t"):
        lines = [line.replace("\t", ".") for line in lines[1:]]
    has_prefix = (line.upper() == "INBOX" or line[:6].upper() == _PREFIX for line in lines)
    return [
        line if prefixed else _PREFIX + line
        for line, prefixed in zip(lines, has_prefix, strict=True)
    ]


def _split(data: bytes) -> list[str]:
    return [line for line in data.decode("utf-8", "surrogateescape").split("\n") if line]


def _change(
    maildir: int,
    name: str,
    read: Callable[[int], list[str]],
    change: Callable[[list[str]], list[str]],
) -> None:
    with account_file(maildir):
        before = read(maildir)
        after = change(before)
        if after == before:
            return
        text = "".join(line + "\n" for line in after)
        tmp = open_directory("tmp", maildir)
        try:
            fd, temporary = durable.create(tmp, unique_name())
            try:
                try:
                    durable.write_all(fd, text.encode("utf-8", "surrogateescape"))
                except BaseException:
                    with suppress(OSError):
                        os.close(fd)
                    raise
                durable.seal(fd, None)
                os.rename(temporary, name, src_dir_fd=tmp, dst_dir_fd=maildir)
            except BaseException:
                durable.discard(tmp, temporary)
                raise
        finally:
            os.close(tmp)
        os.fsync(maildir)
