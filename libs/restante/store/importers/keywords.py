"""Keywords of other servers: courierimapkeywords/ and dovecot-keywords.

Courier keeps `:list` (keyword lines, a blank line, then "<base>:0 2 5" with numbers of those
lines) and one file for each message changed since: named by the base its content replaces all of
the message's keywords; ".<N>.<base>" is the same, dated by N = time/300. The newest wins.

Dovecot keeps "<n> <keyword>", where n is the letter (0 = a) in the names of messages.
"""

import os
from typing import Final

from restante.store.importers.uids import base_of, decode
from restante.store.layout import open_directory, read_plain

_FOLDER: Final = "courierimapkeywords"
_LIST: Final = ":list"
_MAX_PENDING_BYTES: Final = 64 << 10
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_SPECIALS: Final = frozenset('(){ %*"\\]')


def is_keyword(text: str) -> bool:
    """Tell whether IMAP can carry it: an atom (RFC 3501 section 9, flag-keyword)."""
    return (
        0 < len(text) <= 255
        and text.isascii()
        and all(" " < c < "\x7f" and c not in _SPECIALS for c in text)
    )


def parse_courier_keywords(data: bytes) -> dict[str, tuple[str, ...]]:
    """Parse `:list` into keywords by base; lines that make no sense are left out."""
    head, _, rows = decode(data).partition("\n\n")
    words = head.split("\n")
    result: dict[str, tuple[str, ...]] = {}
    for row in rows.split("\n"):
        base, mark, numbers = row.rpartition(":")
        if not mark or not base:
            continue
        chosen = [
            words[int(n)]
            for n in numbers.split()
            if n.isascii() and n.isdigit() and len(n) < 9 and int(n) < len(words)
        ]
        result[base_of(base)] = _unique(chosen)
    return result


def parse_pending(data: bytes) -> tuple[str, ...]:
    """Parse the file of one message: a keyword a line."""
    return _unique(decode(data).split("\n"))


def read_pending(folder: int) -> dict[str, tuple[str, ...]]:
    """Read the files of single messages below the folder directory open as `folder`. BLOCKING.

    The result holds an empty tuple for a message whose keywords were all removed.
    """
    try:
        directory = open_directory(_FOLDER, folder)
    except OSError:
        return {}
    try:
        # Dated files are older than the plain one, and sort by their number.
        newest: dict[str, tuple[int, str]] = {}
        for name in os.listdir(directory):
            age, base = _pending_name(name)
            if base and (base not in newest or newest[base][0] < age):
                newest[base] = (age, name)
        result: dict[str, tuple[str, ...]] = {}
        for base, (_, name) in newest.items():
            data = read_plain(directory, name, _MAX_PENDING_BYTES)
            if data is not None:
                result[base] = parse_pending(data)
    except OSError:
        return {}
    finally:
        os.close(directory)
    return result


def _pending_name(name: str) -> tuple[int, str]:
    if name == _LIST:
        return 0, ""
    if not name.startswith("."):
        return 1 << 62, base_of(name)
    number, mark, base = name[1:].partition(".")
    if mark and number.isascii() and number.isdigit() and len(number) <= 18:
        return int(number), base_of(base)
    return 0, ""


def parse_dovecot_keywords(data: bytes) -> dict[str, str]:
    """Parse dovecot-keywords into {letter: keyword}."""
    result: dict[str, str] = {}
    for line in decode(data).split("\n"):
        number, _, word = line.partition(" ")
        if number.isascii() and number.isdigit() and len(number) <= 2 and is_keyword(word):
            index = int(number)
            if index < len(_LETTERS):
                result.setdefault(_LETTERS[index], word)
    return result


def _unique(words: list[str]) -> tuple[str, ...]:
    seen: dict[str, str] = {}
    for word in words:
        if is_keyword(word):
            seen.setdefault(word.lower(), word)
    return tuple(seen.values())
