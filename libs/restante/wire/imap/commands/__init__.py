"""Every IMAP command as a frozen value, one file per family, each beside its grammar."""

from restante.wire.imap.commands.any import Capability, Id, Logout, Noop
from restante.wire.imap.commands.append import Append
from restante.wire.imap.commands.auth import Authenticate, Enable, Login, StartTls
from restante.wire.imap.commands.command import Command
from restante.wire.imap.commands.copy import Copy, Expunge, Move
from restante.wire.imap.commands.fetch import Fetch
from restante.wire.imap.commands.idle import Idle
from restante.wire.imap.commands.list import (
    List,
    ListReturn,
    ListSelect,
    Lsub,
    Namespace,
)
from restante.wire.imap.commands.mailbox import Create, Delete, Rename, Subscribe, Unsubscribe
from restante.wire.imap.commands.quota import GetQuota, GetQuotaRoot, SetQuota
from restante.wire.imap.commands.search import Search, SearchReturn
from restante.wire.imap.commands.select import Check, Close, Qresync, Select, Unselect
from restante.wire.imap.commands.status import Status, StatusItem
from restante.wire.imap.commands.store import Store, StoreMode

__all__ = [
    "Append",
    "Authenticate",
    "Capability",
    "Check",
    "Close",
    "Command",
    "Copy",
    "Create",
    "Delete",
    "Enable",
    "Expunge",
    "Fetch",
    "GetQuota",
    "GetQuotaRoot",
    "Id",
    "Idle",
    "List",
    "ListReturn",
    "ListSelect",
    "Login",
    "Logout",
    "Lsub",
    "Move",
    "Namespace",
    "Noop",
    "Qresync",
    "Rename",
    "Search",
    "SearchReturn",
    "Select",
    "SetQuota",
    "StartTls",
    "Status",
    "StatusItem",
    "Store",
    "StoreMode",
    "Subscribe",
    "Unselect",
    "Unsubscribe",
]
