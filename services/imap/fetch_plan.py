"""A FETCH compiled once: one template for a row, one function per column.

What columns and cached facts can answer is made column by column, so that ten thousand rows cost
ten thousand % operations and a handful of list comprehensions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from restante.model import Flag
from restante.store.columns import Columns
from restante.store.facts import Facts
from restante.wire.imap.encode import internal_date
from restante.wire.imap.fetch_items import FetchAtt, FetchItems, Section
from services.imap.sections import field_names, in_facts, needs_facts, value
from services.imap.selected import Selected, rows_of


class Chunk:
    """Some messages of one FETCH that are still there, as parallel sequences.

    Valid until the next await: `rows` are rows of `columns`.
    """

    __slots__ = ("columns", "facts", "gone", "rows", "selected", "seqs", "uids")

    seqs: Sequence[int]
    uids: Sequence[int]
    rows: Sequence[int]

    def __init__(self, selected: Selected, seqs: Sequence[int], uids: Sequence[int]) -> None:
        self.selected = selected
        self.columns: Columns = selected.mailbox.columns
        self.facts: Sequence[Facts] = ()
        rows = rows_of(self.columns, uids)
        self.gone = not isinstance(rows, range) and -1 in rows
        if self.gone:
            kept = [i for i, row in enumerate(rows) if row >= 0]
            seqs, uids, rows = (
                [seqs[i] for i in kept],
                [uids[i] for i in kept],
                [rows[i] for i in kept],
            )
        self.seqs, self.uids, self.rows = seqs, uids, rows

    def keep(self, wanted: Sequence[int]) -> None:
        """Keep only these positions."""
        self.seqs = [self.seqs[i] for i in wanted]
        self.uids = [self.uids[i] for i in wanted]
        self.rows = [self.rows[i] for i in wanted]

    def column(self, values: Sequence[int]) -> Sequence[int]:
        """Return a column's values for the rows of this chunk."""
        rows = self.rows
        if isinstance(rows, range):
            return values[rows.start : rows.stop]
        return [values[row] for row in rows]

    def flag_lists(self) -> list[bytes]:
        """Return FLAGS of each message."""
        selected = self.selected
        text = selected.flag_text
        text.use(selected.mailbox.keywords)
        flags, bits = self.column(self.columns.flags), self.column(self.columns.keyword_bits)
        if not selected.view.recent:
            return text.texts(flags, bits)
        is_recent = selected.view.is_recent
        return [
            text.text(flag, mask, is_recent(uid))
            for flag, mask, uid in zip(flags, bits, self.uids, strict=True)
        ]

    def unseen(self) -> list[int]:
        r"""Return the UIDs of the messages without \Seen."""
        flags = self.column(self.columns.flags)
        return [uid for uid, flag in zip(self.uids, flags, strict=True) if not flag & Flag.SEEN]


Maker = Callable[[Chunk], Sequence[Any]]

# In the order in which they are sent; the first that a client reads is the UID.
_ITEMS: Final[tuple[tuple[FetchAtt, bytes, bool, Maker], ...]] = (
    (FetchAtt.UID, b"UID %d", False, lambda c: c.uids),
    (FetchAtt.MODSEQ, b"MODSEQ (%d)", False, lambda c: c.column(c.columns.modseqs)),
    (FetchAtt.FLAGS, b"FLAGS %b", False, Chunk.flag_lists),
    (
        FetchAtt.INTERNALDATE,
        b"INTERNALDATE %b",
        False,
        lambda c: [internal_date(date) for date in c.column(c.columns.dates)],
    ),
    (FetchAtt.SIZE, b"RFC822.SIZE %d", False, lambda c: c.column(c.columns.wire_sizes)),
    (FetchAtt.ENVELOPE, b"ENVELOPE %b", True, lambda c: [f.envelope for f in c.facts]),
    (
        FetchAtt.BODYSTRUCTURE,
        b"BODYSTRUCTURE %b",
        True,
        lambda c: [f.bodystructure for f in c.facts],
    ),
    (FetchAtt.BODY, b"BODY %b", True, lambda c: [f.body for f in c.facts]),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for each chunk. `template` ends before the closing parenthesis."""

    template: bytes
    makers: tuple[Maker, ...]
    facts: bool  # facts are needed
    cached: tuple[Section, ...]  # sections that facts answer, or the message where they do not
    read: tuple[Section, ...]  # sections that need the message: then `cached` is empty

    def heads(self, chunk: Chunk) -> list[bytes]:
        """Return "* n FETCH (..." of each message, without the end."""
        columns = [make(chunk) for make in self.makers]
        template = self.template
        return [template % row for row in zip(chunk.seqs, *columns, strict=True)]


@lru_cache(maxsize=256)
def compile_plan(items: FetchItems) -> Plan:
    """Compile a request. The same few requests come from a client all day."""
    chosen = [item for item in _ITEMS if items.mask & item[0]]
    all_cached = all(in_facts(section) for section in items.sections)
    cached, read = (items.sections, ()) if all_cached else ((), items.sections)
    return Plan(
        template=b"* %d FETCH (" + b" ".join(text for _, text, _, _ in chosen),
        makers=tuple(make for _, _, _, make in chosen),
        facts=bool(cached)
        or any(facts for _, _, facts, _ in chosen)
        or any(needs_facts(section) for section in read),
        cached=cached,
        read=read,
    )


def cached_values(facts: Facts, sections: Sequence[Section]) -> list[bytes] | None:
    """Return " label value" of each section, None where the message itself must be read."""
    out = []
    for section in sections:
        data = facts.header_fields(field_names(section))
        if data is None:
            return None
        out.append(b"%b %b" % (section.label, value(data, section)))
    return out
