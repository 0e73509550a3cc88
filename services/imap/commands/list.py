r"""LIST, LSUB (RFC 3501 sections 6.3.8, 6.3.9), extended LIST (RFC 5258), LIST-STATUS (RFC 5819),
SPECIAL-USE (RFC 6154), CHILDREN (RFC 3348), NAMESPACE (RFC 2342).

Folders are matched by their IMAP names in linear time (wire.imap.list_pattern). A reference is
put in front of the pattern as it is, as Courier does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from restante.model import ErrorKind, FolderName, MailError
from restante.store.account import AccountStore, FolderEntry
from restante.wire.imap import untagged
from restante.wire.imap.commands import List, ListReturn, ListSelect, Lsub, Namespace
from restante.wire.imap.list_pattern import ListPattern
from services.imap.commands.status import status_line
from services.imap.replies import Reply, ok
from services.imap.session import Session


@dataclass(frozen=True, slots=True)
class _Row:
    """A name that may be listed. `entry` is None for a subscription without a folder."""

    name: FolderName
    shown: bytes
    entry: FolderEntry | None
    subscribed: bool
    children: bool


async def list_folders(session: Session, command: List) -> Reply:
    """RFC 3501 section 6.3.8, RFC 5258."""
    separator = session.backend.names.separator.encode()
    if not command.extended and command.patterns == (b"",):
        root = command.reference[: command.reference.find(separator) + 1]
        session.send(untagged.listing(["\\Noselect"], separator, root))
        return ok("List completed.")
    rows = await _rows(session)
    patterns = [ListPattern(command.reference + p, separator) for p in command.patterns]
    for row in rows:
        matched = any(pattern.matches(row.shown) for pattern in patterns)
        below = matched and _child_info(row, rows, command.select)
        if not matched or not (_selected(row, command.select) or below):
            continue
        attributes = _attributes(row, command)
        info = ["SUBSCRIBED"] if below else []
        session.send(untagged.listing(attributes, separator, row.shown, child_info=info))
        if command.status and row.entry is not None and not row.entry.no_select:
            session.send(await _status(session, row.name, command))
        await session.out.breathe()
    return ok("List completed.")


async def _status(session: Session, name: FolderName, command: List) -> bytes:
    """Return the STATUS line of a listed folder, nothing if it just went away (RFC 5819)."""
    try:
        return await status_line(session, name, command.status)
    except MailError as error:
        if error.kind is not ErrorKind.NO_SUCH_FOLDER:
            raise
        return b""


def _selected(row: _Row, select: ListSelect) -> bool:
    """Tell whether a row passes the selection options itself."""
    if select & ListSelect.SUBSCRIBED and not row.subscribed:
        return False
    if select & ListSelect.SPECIAL_USE:
        return row.entry is not None and row.entry.special_use is not None
    # Without SUBSCRIBED only folders that are there are listed.
    return row.entry is not None or bool(select & ListSelect.SUBSCRIBED)


def _child_info(row: _Row, rows: Iterable[_Row], select: ListSelect) -> bool:
    """Tell whether RECURSIVEMATCH must name this row for a subscribed folder below it."""
    if not select & ListSelect.RECURSIVEMATCH or not select & ListSelect.SUBSCRIBED:
        return False
    depth = len(row.name)
    return any(r.subscribed and len(r.name) > depth and r.name[:depth] == row.name for r in rows)


def _attributes(row: _Row, command: List) -> list[str]:
    found = []
    if row.entry is None:
        found.append("\\NonExistent")
    elif row.entry.no_select:
        found.append("\\Noselect")
    if row.subscribed and (
        command.select & ListSelect.SUBSCRIBED or command.returns & ListReturn.SUBSCRIBED
    ):
        found.append("\\Subscribed")
    if row.entry is not None and row.entry.special_use is not None:
        found.append(row.entry.special_use)
    found.append("\\HasChildren" if row.children else "\\HasNoChildren")
    return found


async def lsub(session: Session, command: Lsub) -> Reply:
    r"""RFC 3501 section 6.3.9: with "%", a parent of a subscribed name is shown as \Noselect."""
    separator = session.backend.names.separator.encode()
    pattern = ListPattern(command.reference + command.pattern, separator)
    rows = await _rows(session)
    subscribed = {row.name for row in rows if row.subscribed}
    parents: dict[FolderName, None] = {}
    for row in rows:
        if not row.subscribed:
            continue
        if pattern.matches(row.shown):
            known = row.entry is not None and not row.entry.no_select
            attributes = [] if known else ["\\Noselect"]
            session.send(untagged.listing(attributes, separator, row.shown, word="LSUB"))
        elif command.pattern.endswith(b"%"):
            for depth in range(len(row.name) - 1, 0, -1):
                parent = row.name[:depth]
                if parent not in subscribed and pattern.matches(session.shown(parent)):
                    parents[parent] = None
                    break
    for parent in parents:
        shown = session.shown(parent)
        session.send(untagged.listing(["\\Noselect"], separator, shown, word="LSUB"))
    return ok("Lsub completed.")


async def _rows(session: Session) -> Sequence[_Row]:
    """Return all folders and subscriptions, INBOX first, then by name."""
    entries, subscribed = await session.blocking(_read, session.mail)
    known = {entry.name: entry for entry in entries}
    inbox_has_children = bool(session.backend.names.prefix) and len(known) > 1
    with_children = {name[:depth] for name in known for depth in range(1, len(name))}
    rows = []
    for name in sorted({*known, *subscribed}):
        children = name in with_children if name else inbox_has_children
        rows.append(_Row(name, session.shown(name), known.get(name), name in subscribed, children))
    return rows


def _read(store: AccountStore) -> tuple[list[FolderEntry], set[FolderName]]:
    return store.folders(), set(store.subscriptions())


async def namespace(session: Session, command: Namespace) -> Reply:
    """RFC 2342: one personal namespace."""
    names = session.backend.names
    session.send(untagged.namespace(names.prefix.encode(), names.separator.encode()))
    return ok("Namespace completed.")
