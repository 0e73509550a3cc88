"""SEARCH and UID SEARCH (RFC 3501 section 6.4.4), ESEARCH (RFC 4731), SEARCHRES (RFC 5182),
MODSEQ in the answer (RFC 7162 section 3.1.5).
"""

from array import array
from collections.abc import Sequence
from typing import Final

from restante.model import MailError
from restante.wire.imap import untagged
from restante.wire.imap.commands import Search, SearchReturn
from restante.wire.imap.search_keys import And, Messages, ModSeq, Not, Or, SearchKey
from services.imap.replies import Reply, ok
from services.imap.search_plan import Found, find
from services.imap.selected import Selected
from services.imap.session import Session

_NUMBERS: Final = SearchReturn.MIN | SearchReturn.MAX | SearchReturn.ALL | SearchReturn.COUNT


async def search(session: Session, command: Search) -> Reply:
    """RFC 3501 section 6.4.4. Numbers are those of this session's view throughout."""
    selected = session.box
    returns = command.returns
    saving = returns is not None and bool(returns & SearchReturn.SAVE)
    with_modseq = False
    for key in _leaves(command.key):
        if isinstance(key, ModSeq):
            session.condstore = with_modseq = True
        elif isinstance(key, Messages):
            selected.check(key.messages)
    try:
        await session.refresh()
        first_only = returns is not None and returns & ~SearchReturn.SAVE == SearchReturn.MIN
        found = await find(session, command.key, first_only=first_only)
    except (MailError, OSError):
        if saving:  # RFC 5182 section 2.1: NO empties the saved result
            selected.saved = ()
        raise
    if returns is None:
        numbers = found.uids if command.uid else found.seqs
        modseq = _highest(selected, found.uids) if with_modseq else None
        session.send(untagged.search(numbers, modseq))
    else:
        shown = _shown(found, returns)
        if saving:
            selected.saved = array("I", shown.uids)
        if returns & _NUMBERS:
            modseq = _highest(selected, shown.uids) if with_modseq else None
            session.send(_answer(command, found, returns, modseq))
    return ok("Search completed.")


def _leaves(key: SearchKey) -> list[SearchKey]:
    """Return the keys of the tree that are no operators."""
    out: list[SearchKey] = []
    rest = [key]
    while rest:
        at = rest.pop()
        if isinstance(at, And):
            rest.extend(at.keys)
        elif isinstance(at, Or):
            rest += (at.left, at.right)
        elif isinstance(at, Not):
            rest.append(at.key)
        else:
            out.append(at)
    return out


def _shown(found: Found, returns: SearchReturn) -> Found:
    """Return what the result options are about: MIN and MAX alone mean just those messages."""
    if not found.uids or returns & (SearchReturn.ALL | SearchReturn.COUNT):
        return found
    ends = [0] if returns & SearchReturn.MIN else []
    if returns & SearchReturn.MAX and (len(found.uids) > 1 or not ends):
        ends.append(len(found.uids) - 1)
    if not ends:
        return found
    return Found([found.seqs[at] for at in ends], [found.uids[at] for at in ends])


def _answer(command: Search, found: Found, returns: SearchReturn, modseq: int | None) -> bytes:
    numbers = found.uids if command.uid else found.seqs
    some = bool(numbers)
    return untagged.esearch(
        command.tag,
        uid=command.uid,
        low=numbers[0] if some and returns & SearchReturn.MIN else None,
        high=numbers[-1] if some and returns & SearchReturn.MAX else None,
        numbers=numbers if returns & SearchReturn.ALL else None,
        count=len(numbers) if returns & SearchReturn.COUNT else None,
        modseq=modseq,
    )


def _highest(selected: Selected, uids: Sequence[int]) -> int | None:
    """Return the highest MODSEQ of these messages, None for none."""
    columns = selected.mailbox.columns
    rows = (columns.find(uid) for uid in uids)
    return max((columns.modseqs[row] for row in rows if row >= 0), default=None)
