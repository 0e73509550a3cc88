"""STORE and UID STORE (RFC 3501 section 6.4.6, CONDSTORE RFC 7162 section 3.1.3).

The answer of a plain STORE names every message it was asked for, changed or not. After .SILENT
the client is told only where the outcome is not what it must expect, because another session
changed the message too.
"""

from typing import Final

from restante.store.changes import StoreMode, StoreResult
from restante.wire.imap.commands import Store
from restante.wire.imap.sequence_set import compact
from services.imap.replies import Reply, no, ok
from services.imap.selected import Selected
from services.imap.session import Session

_Known = dict[int, tuple[int, int]]  # uid -> (flags, keyword bits)

_SLICE: Final = 1_000  # messages between two looks at the clock


async def store(session: Session, command: Store) -> Reply:
    """RFC 3501 section 6.4.6."""
    selected = session.writable()
    if command.unchanged_since is not None:
        session.condstore = True
    uids = selected.uids_of(command.messages, uid=command.uid)
    if not uids:
        return ok("Store completed.")
    before = await _known_flags(session, selected, uids) if command.silent else {}
    result = await session.blocking(
        selected.mailbox.store,
        uids,
        StoreMode(command.mode.value),
        command.flags,
        command.keywords,
        unchanged_since=command.unchanged_since,
    )
    if result.seen:
        session.first_read(result)
    refused = {*result.modified, *result.gone}
    touched = [uid for uid in uids if uid not in refused] if refused else uids
    if command.silent:
        if session.condstore:
            await _tell_modseqs(session, selected, touched)
        await _keep_silent(session, selected, command, result, before)
    else:
        await session.tell_flags(selected, touched, own=set(result.changed))
    if result.modified:
        numbers = result.modified if command.uid else _sequence_numbers(selected, result.modified)
        code = "MODIFIED " + compact(sorted(numbers)).decode()
        # RFC 7162 section 3.1.3: OK, but for messages that are gone.
        return ok("Conditional store failed for some messages.", code)
    if result.gone:
        # A UID that is not there is no error (RFC 3501 section 6.4.8).
        word = ok if command.uid else no
        return word("Some of the messages were expunged.", "EXPUNGEISSUED")
    return ok("Store completed.")


async def _known_flags(session: Session, selected: Selected, uids: list[int]) -> _Known:
    """Return the flags that the client knows of these messages.

    All changes so far are told first. When others change something while the flags are read, in
    slices that let other sessions run, it is done again; the last time in one go.
    """
    for last in (False, False, True):
        await session.updates(expunge=False)
        columns = selected.mailbox.columns
        seen = columns.change
        known: _Known = {}
        for at in range(0, len(uids), _SLICE):
            for uid in uids[at : at + _SLICE]:
                row = columns.find(uid)
                if row >= 0:
                    known[uid] = (columns.flags[row], columns.keyword_bits[row])
            if not last:
                await session.out.breathe()
        if selected.mailbox.columns.change is seen:
            break
    return known


async def _keep_silent(
    session: Session, selected: Selected, command: Store, result: StoreResult, before: _Known
) -> None:
    """Note as told what came out as the client must expect; the rest is told by the update."""
    bits, wanted = 0, {keyword.lower() for keyword in command.keywords}
    for bit, keyword in enumerate(selected.mailbox.keywords):
        if keyword.lower() in wanted:
            bits |= 1 << bit
    flags = int(command.flags)
    for at in range(0, len(result.changed), _SLICE):
        columns = selected.mailbox.columns
        for uid in result.changed[at : at + _SLICE]:
            row = columns.find(uid)
            if row < 0 or uid not in before or columns.modseqs[row] != result.modseq:
                continue
            had, had_bits = before[uid]
            match command.mode.value:
                case "set":
                    expected = (flags, bits)
                case "add":
                    expected = (had | flags, had_bits | bits)
                case _:
                    expected = (had & ~flags, had_bits & ~bits)
            if (columns.flags[row], columns.keyword_bits[row]) == expected:
                selected.told[uid] = result.modseq
        await session.out.breathe()


async def _tell_modseqs(session: Session, selected: Selected, uids: list[int]) -> None:
    """Send the new MODSEQ of each message (RFC 7162 section 3.1.3: even with .SILENT)."""
    view = selected.view
    for at in range(0, len(uids), _SLICE):
        columns = selected.mailbox.columns
        rows = []
        for uid in uids[at : at + _SLICE]:
            seq, row = view.seq_of(uid), columns.find(uid)
            if seq is not None and row >= 0:
                text = b"* %d FETCH (UID %d MODSEQ (%d))\r\n"
                rows.append(text % (seq, uid, columns.modseqs[row]))
        session.out.send_rows(rows)
        await session.out.breathe()


def _sequence_numbers(selected: Selected, uids: list[int]) -> list[int]:
    found = (selected.view.seq_of(uid) for uid in uids)
    return [seq for seq in found if seq is not None]
