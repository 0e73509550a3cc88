r"""FETCH and UID FETCH (RFC 3501 section 6.4.5, CONDSTORE RFC 7162 section 3.1.4).

Three ways, by what is asked for: columns alone and cached facts are answered on the loop, chunk
by chunk; what needs the messages themselves is read in the pool, a batch per trip, and \Seen is
set in the same trip. No EXPUNGE is told meanwhile, so sequence numbers hold throughout.

A message that is gone is left out and the answer says EXPUNGEISSUED: NO after FETCH, OK after
UID FETCH, for which a missing UID is no error (RFC 3501 section 6.4.8).
"""

from collections.abc import Sequence
from typing import Final

from restante.model import ErrorKind, Flag, MailError
from restante.store.changes import StoreMode, StoreResult
from restante.store.facts import Facts
from restante.store.mailbox import Mailbox
from restante.wire.imap.commands import Fetch
from restante.wire.imap.fetch_items import FetchAtt, FetchItems, Section, Transfer
from services.imap.fetch_plan import Chunk, Plan, cached_values, compile_plan
from services.imap.output import CHUNK
from services.imap.replies import Reply, bad, no, ok
from services.imap.sections import cut, part_of, value
from services.imap.selected import Selected
from services.imap.session import Session

_ROWS: Final = 200  # of a chunk: about 2 ms of work
_BATCH_MESSAGES: Final = 32
_BATCH_OCTETS: Final = 512 * 1024
_KEEP_FROM: Final = 128 * 1024  # octets; a message read in pieces is kept from here on


async def fetch(session: Session, command: Fetch) -> Reply:
    """RFC 3501 section 6.4.5."""
    selected = session.box
    items = command.items
    if command.vanished:
        return bad("QRESYNC is not enabled.")
    if any(section.transfer is not Transfer.RAW for section in items.sections):
        return bad("BINARY is not supported.")
    if command.changed_since is not None:
        items = FetchItems(items.mask | FetchAtt.MODSEQ, items.sections)
    if items.mask & FetchAtt.MODSEQ:
        session.condstore = True
    await session.refresh()
    plan = compile_plan(items)
    sets_seen = items.sets_seen and not selected.readonly
    if not any(section.partial for section in items.sections):
        selected.last_body = None
    gone = False
    for run in selected.runs(command.messages, uid=command.uid, size=_ROWS):
        since = command.changed_since
        seqs, uids = run if since is None else _changed(selected, *run, since)
        if not uids:
            continue
        if plan.read or (plan.cached and sets_seen):
            gone |= await _with_messages(session, plan, seqs, uids, sets_seen)
        else:
            gone |= await _without_messages(session, plan, seqs, uids)
    if not gone:
        return ok("Fetch completed.")
    word = ok if command.uid else no
    return word("Some of the messages were expunged.", "EXPUNGEISSUED")


def _changed(
    selected: Selected, seqs: Sequence[int], uids: Sequence[int], since: int
) -> tuple[Sequence[int], Sequence[int]]:
    """Return the messages whose MODSEQ is above `since` (RFC 7162 section 3.1.4.1)."""
    chunk = Chunk(selected, seqs, uids)
    modseqs = chunk.column(chunk.columns.modseqs)
    chunk.keep([i for i, modseq in enumerate(modseqs) if modseq > since])
    return chunk.seqs, chunk.uids


async def _without_messages(
    session: Session, plan: Plan, seqs: Sequence[int], uids: Sequence[int]
) -> bool:
    """Answer a chunk from columns and facts; True if a message was gone."""
    selected = session.box
    facts: Sequence[Facts | None] = ()
    if plan.facts:
        facts = selected.mailbox.cached_facts(uids)
        if None in facts:
            facts = await session.blocking(selected.mailbox.facts, uids)
    chunk, lost = _chunk(selected, seqs, uids, facts)
    heads = plan.heads(chunk)
    if plan.cached:
        tails = [cached_values(item, plan.cached) for item in chunk.facts]
        if None in tails:  # headers too long to be kept
            return await _with_messages(session, plan, seqs, uids, False)
        space = b" " if plan.makers else b""
        session.out.send_rows(
            [
                b"%b%b%b)\r\n" % (head, space, b" ".join(tail))
                for head, tail in zip(heads, tails, strict=True)
                if tail
            ]
        )
    else:
        session.out.send_rows([head + b")\r\n" for head in heads])
    await session.out.breathe()
    return lost


def _chunk(
    selected: Selected,
    seqs: Sequence[int],
    uids: Sequence[int],
    facts: Sequence[Facts | None],
) -> tuple[Chunk, bool]:
    """Make a chunk of what is still there; True if anything was not."""
    lost = None in facts
    if lost:
        kept = [i for i, item in enumerate(facts) if item is not None]
        seqs, uids, facts = (
            [seqs[i] for i in kept],
            [uids[i] for i in kept],
            [facts[i] for i in kept],
        )
    chunk = Chunk(selected, seqs, uids)
    if chunk.gone:
        by_uid = dict(zip(uids, facts, strict=False))
        facts = [by_uid[uid] for uid in chunk.uids] if facts else ()
    chunk.facts = [item for item in facts if item is not None]
    return chunk, lost or chunk.gone


async def _with_messages(
    session: Session, plan: Plan, seqs: Sequence[int], uids: Sequence[int], sets_seen: bool
) -> bool:
    """Answer a chunk by reading the messages; True if one was gone."""
    selected = session.box
    gone = False
    whole = Chunk(selected, seqs, uids)
    gone |= whole.gone
    sizes = whole.column(whole.columns.wire_sizes)
    start = 0
    while start < len(whole.uids):
        stop, octets = start, 0
        while stop < len(whole.uids) and stop - start < _BATCH_MESSAGES and octets < _BATCH_OCTETS:
            octets += sizes[stop]
            stop += 1
        batch = whole.seqs[start:stop], whole.uids[start:stop]
        gone |= await _batch(session, plan, *batch, sets_seen)
        start = stop
    return gone


async def _batch(
    session: Session, plan: Plan, seqs: Sequence[int], uids: Sequence[int], sets_seen: bool
) -> bool:
    selected = session.box
    sections = plan.read or plan.cached
    unseen = Chunk(selected, seqs, uids).unseen() if sets_seen else []
    messages = _kept(selected, uids)
    facts: Sequence[Facts | None] = selected.mailbox.cached_facts(uids) if plan.facts else ()
    if messages is None or unseen or None in facts:
        read = await session.blocking(
            _read, selected.mailbox, uids, messages, plan.facts and None in facts, unseen
        )
        messages, facts = read[0], read[1] or facts
        if read[2] is not None:
            session.first_read(read[2])
        _keep(selected, sections, uids, messages)
    told = set(unseen)
    kept = [i for i, message in enumerate(messages) if message is not None]
    lost = len(kept) < len(uids)
    chunk, missing = _chunk(
        selected,
        [seqs[i] for i in kept],
        [uids[i] for i in kept],
        [facts[i] for i in kept] if facts else (),
    )
    wires = dict(zip(uids, messages, strict=True))
    heads, flags = plan.heads(chunk), chunk.flag_lists()
    modseqs = chunk.column(chunk.columns.modseqs)
    for i, uid in enumerate(chunk.uids):
        head = heads[i]
        between = b" " if plan.makers else b""
        if uid in told:
            if b"FLAGS %b" not in plan.template:
                head += between + b"FLAGS " + flags[i]
                between = b" "
            selected.told[uid] = modseqs[i]
        wire = wires[uid]
        if wire is not None:
            item = chunk.facts[i] if chunk.facts else None
            await _send(session, head + between, wire, item, sections)
    return lost or missing


async def _send(
    session: Session, head: bytes, wire: bytes, facts: Facts | None, sections: Sequence[Section]
) -> None:
    """Send one message's row; large sections go out in pieces, with back-pressure."""
    out = session.out
    values = [cut(wire, facts, section) for section in sections]
    out.send(head)  # from here on the row must be finished
    for at, (section, data) in enumerate(zip(sections, values, strict=True)):
        out.send(b" %b " % section.label if at else section.label + b" ")
        if data is not None and len(data) > CHUNK:
            octets = part_of(data, section)
            out.send(b"{%d}\r\n" % len(octets))
            await out.stream(octets)
        else:
            out.send(value(data, section))
    out.send(b")\r\n")
    await out.breathe()


def _read(
    mailbox: Mailbox,
    uids: Sequence[int],
    known: "list[bytes | None] | None",
    with_facts: bool,
    unseen: Sequence[int],
) -> tuple[list[bytes | None], Sequence[Facts | None], StoreResult | None]:
    r"""BLOCKING. Read messages (None: gone) and their facts, and set \Seen."""
    messages = [_read_one(mailbox, uid) for uid in uids] if known is None else known
    facts = mailbox.facts(uids) if with_facts else ()
    here = {uid for uid, message in zip(uids, messages, strict=True) if message is not None}
    unseen = [uid for uid in unseen if uid in here]
    seen = None
    if unseen:
        try:
            seen = mailbox.store(unseen, StoreMode.ADD, Flag.SEEN, (), unchanged_since=None)
        except MailError as error:
            # A full disk must not keep anybody from reading; the flag stays as it was.
            if error.kind not in (ErrorKind.TEMPORARY, ErrorKind.OVER_QUOTA):
                raise
    return messages, facts, seen


def _read_one(mailbox: Mailbox, uid: int) -> bytes | None:
    try:
        return mailbox.read(uid)
    except MailError as error:
        if error.kind is not ErrorKind.GONE:
            raise
        return None


def _kept(selected: Selected, uids: Sequence[int]) -> "list[bytes | None] | None":
    """Return the large message that was read last, if it is the one asked for again."""
    last = selected.last_body
    return [last[1]] if last is not None and len(uids) == 1 and last[0] == uids[0] else None


def _keep(
    selected: Selected,
    sections: Sequence[Section],
    uids: Sequence[int],
    messages: Sequence[bytes | None],
) -> None:
    """Keep a large message of which the client reads pieces: it comes for the next one."""
    selected.last_body = None
    if len(uids) == 1 and any(section.partial for section in sections):
        message = messages[0]
        if message is not None and len(message) >= _KEEP_FROM:
            selected.last_body = (uids[0], message)
