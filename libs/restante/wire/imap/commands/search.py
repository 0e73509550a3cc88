"""SEARCH (RFC 3501 section 6.4.4), ESEARCH (RFC 4731), SEARCHRES (RFC 5182), WITHIN (RFC 5032)."""

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar

from restante.wire.imap.commands.command import Command
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
