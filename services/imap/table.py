"""The dispatch table: every command, who answers it, when it is allowed, what it does.

`TELLS`: pending updates are sent before the tagged answer. `NUMBERED`: its form without UID uses
sequence numbers, so that no EXPUNGE may be told in its answer (RFC 3501 section 7.4.1).
`FILLS`: a missing folder is its target, and the answer says TRYCREATE. `CHANGES`: refused where
the login may only read.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any, Final, TypeVar

from restante.wire.imap import commands as c
from services.imap.commands import (
    any as any_state,
)
from services.imap.commands import (
    append,
    auth,
    copy,
    fetch,
    idle,
    mailbox,
    quota,
    search,
    select,
    status,
    store,
)
from services.imap.commands import (
    list as listing,
)
from services.imap.replies import Reply
from services.imap.session import Session, State


class Does(Flag):
    """What the dispatcher must know of a command."""

    NOTHING = 0
    TELLS = auto()
    NUMBERED = auto()
    FILLS = auto()
    CHANGES = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """One row."""

    handler: Callable[[Session, Any], Awaitable[Reply]]
    states: State
    does: Does


C = TypeVar("C", bound=c.Command)
_Row = tuple[type[c.Command], Entry]


def _row(
    command: type[C],
    handler: Callable[[Session, C], Awaitable[Reply]],
    states: State,
    does: Does = Does.TELLS,
) -> _Row:
    return command, Entry(handler, states, does)


_BEFORE: Final = State.CONNECTED
_LOGGED_IN: Final = State.AUTHENTICATED | State.SELECTED
_ANY: Final = _BEFORE | _LOGGED_IN
_OPEN: Final = State.SELECTED
_QUIET: Final = Does.NOTHING
_NUMBERED: Final = Does.TELLS | Does.NUMBERED
_CHANGES: Final = Does.TELLS | Does.CHANGES
_FILLS: Final = _CHANGES | Does.FILLS

TABLE: Final[dict[type[c.Command], Entry]] = dict(
    (
        # any state
        _row(c.Capability, any_state.capability, _ANY),
        _row(c.Noop, any_state.noop, _ANY),
        _row(c.Logout, any_state.logout, _ANY, _QUIET),
        _row(c.Id, any_state.identify, _ANY),
        # not authenticated
        _row(c.StartTls, auth.start_tls, _BEFORE, _QUIET),
        _row(c.Authenticate, auth.authenticate, _BEFORE, _QUIET),
        _row(c.Login, auth.login, _BEFORE, _QUIET),
        # authenticated
        _row(c.Enable, auth.enable, _LOGGED_IN),
        _row(c.Select, select.select, _LOGGED_IN, _QUIET),
        _row(c.Create, mailbox.create, _LOGGED_IN, _CHANGES),
        _row(c.Delete, mailbox.delete, _LOGGED_IN, _CHANGES),
        _row(c.Rename, mailbox.rename, _LOGGED_IN, _CHANGES),
        _row(c.Subscribe, mailbox.subscribe, _LOGGED_IN, _CHANGES),
        _row(c.Unsubscribe, mailbox.unsubscribe, _LOGGED_IN, _CHANGES),
        _row(c.List, listing.list_folders, _LOGGED_IN),
        _row(c.Lsub, listing.lsub, _LOGGED_IN),
        _row(c.Namespace, listing.namespace, _LOGGED_IN),
        _row(c.Status, status.status, _LOGGED_IN),
        _row(c.Append, append.append, _LOGGED_IN, _FILLS),
        _row(c.Idle, idle.idle, _LOGGED_IN),
        _row(c.GetQuota, quota.get_quota, _LOGGED_IN),
        _row(c.GetQuotaRoot, quota.get_quota_root, _LOGGED_IN),
        _row(c.SetQuota, quota.set_quota, _LOGGED_IN, _CHANGES),
        # selected
        _row(c.Check, select.check, _OPEN),
        _row(c.Close, select.close, _OPEN, _QUIET),
        _row(c.Unselect, select.unselect, _OPEN, _QUIET),
        _row(c.Expunge, copy.expunge, _OPEN, _CHANGES),
        _row(c.Search, search.search, _OPEN, _NUMBERED),
        _row(c.Fetch, fetch.fetch, _OPEN, _NUMBERED),
        _row(c.Store, store.store, _OPEN, _NUMBERED | _CHANGES),
        _row(c.Copy, copy.copy, _OPEN, _FILLS),
        _row(c.Move, copy.move, _OPEN, _FILLS),
    )
)
