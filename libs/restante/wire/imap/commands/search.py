"""SEARCH (RFC 3501 section 6.4.4), ESEARCH (RFC 4731), SEARCHRES (RFC 5182), WITHIN (RFC 5032)."""

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Final

from restante.wire.imap.commands.command import Command
from restante.wire.imap.cursor import BadSyntaxError, Cursor
from restante.wire.imap.search_grammar import codec_of, read_keys
from restante.wire.imap.search_keys import SearchKey


class SearchReturn(IntFlag):
    """Result options of RETURN (...)."""

    MIN = 1
    MAX = 2
    ALL = 4
    COUNT = 8
    SAVE = 16


@dataclass(frozen=True, slots=True)
class Search(Command):
    """SEARCH or UID SEARCH.

    `returns` is None for the plain form (answer "* SEARCH"), else the options (answer
    "* ESEARCH"); RETURN () reads as ALL. Text of the keys is decoded already.
    """

    name: ClassVar[str] = "SEARCH"
    uid: bool
    key: SearchKey
    returns: SearchReturn | None = None


_OPTIONS: Final = {
    b"MIN": SearchReturn.MIN,
    b"MAX": SearchReturn.MAX,
    b"ALL": SearchReturn.ALL,
    b"COUNT": SearchReturn.COUNT,
    b"SAVE": SearchReturn.SAVE,
}


def read_search(c: Cursor, tag: str) -> Search:
    """Read the arguments of SEARCH."""
    return _search(c, tag, uid=False)


def read_uid_search(c: Cursor, tag: str) -> Search:
    """Read the arguments of UID SEARCH."""
    return _search(c, tag, uid=True)


def _search(c: Cursor, tag: str, *, uid: bool) -> Search:
    c.sp()
    returns: SearchReturn | None = None
    codec = "utf-8"  # a superset of US-ASCII, which is the default
    if _keyword(c, b"RETURN"):
        returns = _returns(c)
        c.sp()
    if _keyword(c, b"CHARSET"):
        codec = codec_of(c.astring())
        c.sp()
    key = read_keys(c, codec)
    c.end()
    return Search(tag, uid, key, returns)


def _keyword(c: Cursor, word: bytes) -> bool:
    stop = c.at + len(word)
    if c.data[c.at : stop].upper() == word and c.data[stop : stop + 1] == b" ":
        c.at = stop
        c.sp()
        return True
    return False


def _returns(c: Cursor) -> SearchReturn:
    c.open()
    if c.empty():
        return SearchReturn.ALL
    mask = SearchReturn(0)
    while True:
        option = _OPTIONS.get(c.word())
        if option is None:
            raise BadSyntaxError("unknown result option")
        mask |= option
        if c.close():
            return mask
