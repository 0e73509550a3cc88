"""STORE and UID STORE (RFC 3501 section 6.4.6, CONDSTORE RFC 7162 section 3.1.3).

The answer of a plain STORE names every message it was asked for, changed or not. After .SILENT
the client is told only where the outcome is not what it must expect, because another session
changed the message too.
"""

from restante.store.changes import StoreMode, StoreResult
from restante.wire.imap.commands import Store
from restante.wire.imap.sequence_set import compact
from services.imap.replies import Reply, no, ok
from services.imap.selected import Selected
from services.imap.session import Session

_Known = dict[int, tuple[int, int]]  # uid -> (flags, keyword bits)


async def store(session: Session, command: Store) -> Reply:
    """RFC 3501 section 6.4.6."""
    selected = session.writable()
    if command.unchanged_since is not None:
        session.condstore = True
    # What others did is told first, so that "expected" below means what the client expects.
    await session.updates(expunge=False)
    uids = selected.uids_of(command.messages, uid=command.uid)
    if not uids:
        return ok("Store completed.")
    before = _flags_of(selected, uids) if command.silent else {}
    result: StoreResult = await session.blocking(
        lambda: selected.mailbox.store(
            uids,
            StoreMode(command.mode.value),
            command.flags,
            command.keywords,
            unchanged_since=command.unchanged_since,
        )
    )
    refused = {*result.modified, *result.gone}
    touched = [uid for uid in uids if uid not in refused] if refused else uids
    if command.silent:
        surprising = _surprising(selected, command, touched, before)
        if session.condstore:
            await _tell_modseqs(session, selected, touched)
        selected.note_told([uid for uid in touched if uid not in surprising])
    else:
        for uid in touched:
            selected.told.pop(uid, None)
        await session.tell_flags(selected, touched)
        selected.note_told(touched)
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


def _flags_of(selected: Selected, uids: list[int]) -> _Known:
    columns = selected.mailbox.columns
    found = {}
    for uid in uids:
        row = columns.find(uid)
        if row >= 0:
            found[uid] = (columns.flags[row], columns.keyword_bits[row])
    return found


def _surprising(selected: Selected, command: Store, uids: list[int], before: _Known) -> set[int]:
    """Return the messages whose flags are not `before` with the command done to them."""
    now = _flags_of(selected, uids)
    bits, wanted = 0, {keyword.lower() for keyword in command.keywords}
    for bit, keyword in enumerate(selected.mailbox.keywords):
        if keyword.lower() in wanted:
            bits |= 1 << bit
    flags = int(command.flags)
    found = set()
    for uid, (had, had_bits) in before.items():
        match command.mode.value:
            case "set":
                expected = (flags, bits)
            case "add":
                expected = (had | flags, had_bits | bits)
            case _:
                expected = (had & ~flags, had_bits & ~bits)
        if now.get(uid, expected) != expected:
            found.add(uid)
    return found


async def _tell_modseqs(session: Session, selected: Selected, uids: list[int]) -> None:
    """Send the new MODSEQ of each message (RFC 7162 section 3.1.3: even with .SILENT)."""
    columns, view = selected.mailbox.columns, selected.view
    rows = []
    for uid in uids:
        seq, row = view.seq_of(uid), columns.find(uid)
        if seq is not None and row >= 0:
            text = b"* %d FETCH (UID %d MODSEQ (%d))\r\n"
            rows.append(text % (seq, uid, columns.modseqs[row]))
    for at in range(0, len(rows), 500):
        session.out.send_rows(rows[at : at + 500])
        await session.out.breathe()


def _sequence_numbers(selected: Selected, uids: list[int]) -> list[int]:
    found = (selected.view.seq_of(uid) for uid in uids)
    return [seq for seq in found if seq is not None]
