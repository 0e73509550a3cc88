"""COPY (RFC 3501 section 6.4.7), MOVE (RFC 6851), EXPUNGE, UID EXPUNGE (UIDPLUS, RFC 4315)."""

from collections.abc import Sequence

from restante.model import FolderName
from restante.store.account import AccountStore
from restante.store.mailbox import Mailbox
from restante.wire.imap import response
from restante.wire.imap.commands import Copy, Expunge, Move
from restante.wire.imap.sequence_set import compact
from services.imap.replies import Reply, no, ok
from services.imap.session import Session

_Pairs = list[tuple[int, int]]


async def copy(session: Session, command: Copy) -> Reply:
    """RFC 3501 section 6.4.7 with COPYUID; all or nothing, but for messages already gone."""
    selected = session.box
    target = session.folder(command.mailbox)
    uids = selected.uids_of(command.messages, uid=command.uid)
    if selected.any_gone(uids):
        return no("Some of the messages were expunged.", "EXPUNGEISSUED")
    if not uids:
        await session.blocking(_transfer, session.mail, selected.mailbox, target, uids, False)
        return ok("Nothing to copy.")
    validity, pairs = await session.blocking(
        _transfer, session.mail, selected.mailbox, target, uids, False
    )
    if not pairs:
        return no("The messages were expunged.", "EXPUNGEISSUED")
    return ok("Copy completed.", _copyuid(validity, pairs))


async def move(session: Session, command: Move) -> Reply:
    """RFC 6851: COPYUID comes untagged and before the EXPUNGEs that follow."""
    selected = session.writable()
    target = session.folder(command.mailbox)
    uids = selected.uids_of(command.messages, uid=command.uid)
    if selected.any_gone(uids):
        return no("Some of the messages were expunged.", "EXPUNGEISSUED")
    validity, pairs = await session.blocking(
        _transfer, session.mail, selected.mailbox, target, uids, True
    )
    if not uids:
        return ok("Nothing to move.")
    if not pairs:
        return no("The messages were expunged.", "EXPUNGEISSUED")
    session.send(response.ok(None, "Moved.", _copyuid(validity, pairs)))
    return ok("Move completed.")


def _transfer(
    store: AccountStore, source: Mailbox, target: FolderName, uids: list[int], moving: bool
) -> tuple[int, _Pairs]:
    box = store.open_mailbox(target)  # MailError(NO_SUCH_FOLDER) becomes NO [TRYCREATE]
    try:
        box.refresh()
        if not uids:
            return box.uidvalidity, []
        pairs = source.move(uids, box) if moving else source.copy(uids, box)
        return box.uidvalidity, pairs
    finally:
        box.release()


def _copyuid(validity: int, pairs: _Pairs) -> str:
    """Return COPYUID (RFC 4315 section 3): both sets in one order, runs of neighbours joined."""
    pairs = sorted(pairs)
    source, target = [s for s, _ in pairs], [t for _, t in pairs]
    return f"COPYUID {validity} {compact(source).decode()} {compact(target).decode()}"


async def expunge(session: Session, command: Expunge) -> Reply:
    r"""RFC 3501 section 6.4.3, RFC 4315 section 2.1: what is \Deleted and known to the client."""
    selected = session.writable()
    known: Sequence[int] = selected.view.uids()
    if command.uids is not None:
        known = selected.uids_of(command.uids, uid=True)
    doomed = selected.deleted(known)
    if doomed:
        await session.blocking(selected.mailbox.expunge, doomed)
    await session.updates(expunge=True)
    if session.condstore:
        code = f"HIGHESTMODSEQ {selected.mailbox.highest_modseq}"
        return ok("Expunge completed.", code)
    return ok("Expunge completed.")
