"""FETCH (RFC 3501 section 6.4.5, RFC 7162)."""

from dataclasses import dataclass
from typing import ClassVar

from restante.wire.imap.commands.command import Command
from restante.wire.imap.fetch_items import FetchItems
from restante.wire.imap.sequence_set import SequenceSet


@dataclass(frozen=True, slots=True)
class Fetch(Command):
    """FETCH or UID FETCH. For UID FETCH, `items.mask` contains UID whether asked or not."""

    name: ClassVar[str] = "FETCH"
    uid: bool
    messages: SequenceSet
    items: FetchItems
    changed_since: int | None = None
    vanished: bool = False
