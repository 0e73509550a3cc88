"""The state of one IMAP session, and what handlers may do with it.

States are RFC 3501 section 3: not authenticated, authenticated, selected, logout. A handler takes
(session, command), sends untagged lines through `session.send` and returns its Reply; the
connection adds pending updates and the tagged line. Handlers never see the socket, and hold no
lock while they write.

Invariants
- Updates are told at one place only, `updates`, so that an EXPUNGE can never slip into the
  answers of FETCH, STORE or SEARCH (RFC 3501 section 7.4.1).
- Blocking work goes through `blocking`; after it, the state of the mailbox may have moved.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from enum import IntFlag
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

from restante.model import Account, ErrorKind, FolderName, MailError
from restante.runtime.log import get_logger, routine
from restante.runtime.upstream import Upstream
from restante.store.account import AccountStore
from restante.store.changes import NAMED, StoreResult
from restante.store.names import message_id
from restante.wire.imap import response
from restante.wire.sasl import offered, takes_passwords
from services.imap import metrics
from services.imap.output import Output
from services.imap.selected import Selected

if TYPE_CHECKING:
    from services.imap.backend import Backend

P = ParamSpec("P")
T = TypeVar("T")

_BATCH: Final = 500  # rows between two looks at the clock
_REFRESH_EVERY: Final = 1.0  # seconds; FETCH and SEARCH look at the disk no more often

_log = get_logger(__name__)


class State(IntFlag):
    """States of RFC 3501 section 3; a mask in the dispatch table."""

    CONNECTED = 1
    AUTHENTICATED = 2
    SELECTED = 4


class Client(Protocol):
    """The other end, as far as a command may talk with it between command and answer."""

    @property
    def peer_address(self) -> str:
        """IP address, or "unix"."""

    @property
    def session(self) -> str:
        """The id that joins the session's log lines."""

    @property
    def secure(self) -> bool:
        """True if nobody on the way can read along."""

    @property
    def bindings(self) -> Mapping[str, bytes]:
        """Channel binding data by type (SASL), empty without TLS."""

    @property
    def certificate(self) -> str:
        """The name in the client's verified certificate, "" if it showed none."""

    @property
    def may_start_tls(self) -> bool:
        """True if STARTTLS can be done."""

    async def ask(self, challenge: bytes) -> bytes:
        """Send "+ challenge" (base64) and return the client's next line."""

    def message(self) -> AsyncIterator[bytes]:
        """Let the client send the message of its APPEND, and yield it as it comes."""

    async def idle(self, session: "Session") -> bool:
        """Tell updates until the client sends a line; True if it was DONE."""

    def wake(self) -> None:
        """Look for updates, if idle."""

    def acquire_user(self, address: str) -> bool:
        """Count the connection as a session of the account, or say no."""

    def note(self, **facts: str) -> None:
        """Note what `restante who` shows: mechanism, actor, client."""


class Session:
    """Everything a connection knows beside its socket."""

    __slots__ = (
        "account",
        "backend",
        "client",
        "condstore",
        "ending",
        "login_failures",
        "out",
        "reads",
        "selected",
        "starting_tls",
        "store",
        "upstream",
    )

    def __init__(self, backend: "Backend", client: Client, out: Output) -> None:
        self.backend = backend
        self.client = client
        self.out = out
        self.account: Account | None = None
        self.store: AccountStore | None = None
        self.selected: Selected | None = None
        self.condstore = False  # enabled by ENABLE or any CONDSTORE-aware command (RFC 7162 3.1)
        self.ending = False
        self.starting_tls = False  # the handshake follows the reply
        self.login_failures = 0
        self.reads = 0  # messages that the command at hand has read for the first time
        self.upstream: Upstream | None = None  # serves from here on (option mailhost)

    @property
    def state(self) -> State:
        """Return the present state."""
        if self.selected is not None:
            return State.SELECTED
        return State.AUTHENTICATED if self.account is not None else State.CONNECTED

    @property
    def mail(self) -> AccountStore:
        """Return the account's store; only in states after login."""
        if self.store is None:
            raise MailError(ErrorKind.INTERNAL, "not logged in")
        return self.store

    @property
    def box(self) -> Selected:
        """Return the selected mailbox; only in the selected state."""
        if self.selected is None:
            raise MailError(ErrorKind.INTERNAL, "no mailbox is selected")
        return self.selected

    @property
    def user(self) -> str | None:
        """Return the account's address for the log."""
        return self.account.address if self.account is not None else None

    @property
    def may_start_tls(self) -> bool:
        """True if STARTTLS is served now."""
        return self.account is None and self.client.may_start_tls

    @property
    def offered(self) -> tuple[str, ...]:
        """SASL mechanisms that may be used here and now."""
        return self._offered(private=self._private)

    @property
    def offered_inside_tls(self) -> tuple[str, ...]:
        """Those that would be, if nobody could read along."""
        return self._offered(private=True)

    @property
    def may_use_password(self) -> bool:
        """False for LOGIN where TLS is required and there is none, or PLAIN is not allowed."""
        return self._private and takes_passwords(self.backend.settings.sasl_mechanisms)

    @property
    def _private(self) -> bool:
        return self.client.secure or not self.backend.settings.tls_required

    def _offered(self, *, private: bool) -> tuple[str, ...]:
        return offered(
            self.backend.settings.sasl_mechanisms,
            private=private,
            bindings=lambda: self.client.bindings,
            certificate=self.client.certificate,
        )

    def folder(self, name: bytes, *, create: bool = False) -> FolderName:
        """Return the folder of a client's mailbox name. Raises MailError(CANNOT)."""
        return self.backend.names.decode(name, create=create)

    def shown(self, name: FolderName) -> bytes:
        """Return the mailbox name that the client sees, not yet quoted."""
        return self.backend.names.encode(name)

    def enter(
        self, account: Account, store: AccountStore, *, mechanism: str = "", actor: str = ""
    ) -> None:
        """Become authenticated; `actor` is the master who came in, "" for the owner."""
        self.account, self.store = account, store
        client = self.client
        metrics.LOGINS.labels(mechanism, "ok").inc()
        told = {"actor": actor} if actor else {}
        routine(
            "login",
            session=client.session,
            user=account.address,
            peer=client.peer_address,
            tls=client.secure,
            mechanism=mechanism,
            **told,
        )

    def login_failed(self, user: str, error: MailError, mechanism: str) -> None:
        """Count and log a failed login; enough of them end the session."""
        metrics.refused(mechanism, error.kind)
        _log.info(
            "login failed",
            session=self.client.session,
            user=user,
            peer=self.client.peer_address,
            reason=error.kind.value,
        )
        if error.kind is ErrorKind.AUTH_FAILED:
            self.login_failures += 1

    def send(self, data: bytes) -> None:
        """Queue whole response lines."""
        self.out.send(data)

    async def blocking(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run store work in the pool, as the owner of the mail once it is known."""
        identity = self.store.identity if self.store is not None else None
        result = await self.backend.pool.run_as(identity, work, *args, **kwargs)
        self.out.resumed()
        return result

    def first_read(self, result: StoreResult) -> None:
        """Log the messages on which \\Seen is new, NAMED of one command at most by their ids."""
        for base in result.read[: max(0, NAMED - self.reads)]:
            self._tell_read(id=message_id(os.fsdecode(base)))
        self.reads += result.seen

    def command_ended(self) -> None:
        """Log how many more messages the command has read for the first time."""
        if self.reads > NAMED:
            self._tell_read(more=self.reads - NAMED)
        self.reads = 0

    def _tell_read(self, **what: str | int) -> None:
        routine(
            "first read",
            **what,
            session=self.client.session,
            user=self.user or "",
            service="imap",
            folder="/".join(self.selected.name if self.selected else ()) or "INBOX",
        )

    @property
    def read_only(self) -> bool:
        """True for a login that may read, and change nothing."""
        return self.account is not None and self.account.read_only

    def check_may_change(self) -> None:
        """Raise MailError(PERMISSION) for a login that may only read."""
        if self.read_only:
            raise MailError(ErrorKind.PERMISSION, "This login may read, and change nothing.")

    def writable(self) -> Selected:
        """Return the selected mailbox. MailError(PERMISSION) after EXAMINE."""
        if self.box.readonly:
            raise MailError(ErrorKind.PERMISSION, "The mailbox was opened read-only.")
        return self.box

    def select(self, selected: Selected) -> None:
        """Enter the selected state."""
        self.unselect()
        self.selected = selected
        metrics.SELECTED.inc()

    def unselect(self) -> None:
        """Leave the selected state, removing nothing."""
        selected, self.selected = self.selected, None
        if selected is not None:
            metrics.SELECTED.dec()
            selected.close()
            self.backend.give_back(selected.mailbox)

    async def refresh(self, *, now: bool = False) -> None:
        """Look at the disk for what other programs and hosts did: at once, or if it is time."""
        selected = self.selected
        if selected is None:
            return
        clock = asyncio.get_running_loop().time()
        if now or clock - selected.refreshed >= _REFRESH_EVERY:
            selected.refreshed = clock
            await self.blocking(selected.mailbox.refresh)

    async def updates(self, *, expunge: bool) -> None:
        """Tell what changed since the last time (RFC 3501 section 7.4, RFC 7162 section 3.2)."""
        selected = self.selected
        if selected is None or not selected.view.pending():
            return
        if not selected.view.valid:
            # Its UIDs mean other messages now: a client that went on would mix them up.
            self.ending = True
            self.send(response.bye("The mailbox was replaced, please select it again."))
            return
        found = selected.view.poll(expunge=expunge)
        for at in range(0, len(found.expunged), _BATCH):
            some = found.expunged[at : at + _BATCH]
            self.out.send_rows([b"* %d EXPUNGE\r\n" % seq for seq in some])
            await self.out.breathe()
        if found.exists is not None:
            self.send(b"* %d EXISTS\r\n" % found.exists)
        if found.recent is not None:
            self.send(b"* %d RECENT\r\n" % found.recent)
        await self.tell_flags(selected, found.changed)
        selected.told.clear()

    async def tell_flags(
        self, selected: Selected, uids: Sequence[int], *, own: Container[int] = ()
    ) -> None:
        """Send FETCH responses with the flags of these messages, but for what was told before.

        `own`: those that this session changed itself; they count as told then.
        """
        self.send(selected.new_flags_lines())
        flag_text, view, told = selected.flag_text, selected.view, selected.told
        for at in range(0, len(uids), _BATCH):
            columns = selected.mailbox.columns
            flag_text.use(selected.mailbox.keywords)
            out = []
            for uid in uids[at : at + _BATCH]:
                seq, row = view.seq_of(uid), columns.find(uid)
                if seq is None or row < 0:
                    continue
                modseq = columns.modseqs[row]
                if told and told.get(uid) == modseq:
                    continue
                if uid in own:
                    told[uid] = modseq
                flags = flag_text.text(
                    columns.flags[row], columns.keyword_bits[row], view.is_recent(uid)
                )
                if self.condstore:
                    text = b"* %d FETCH (UID %d MODSEQ (%d) FLAGS %b)\r\n"
                    out.append(text % (seq, uid, modseq, flags))
                else:
                    out.append(b"* %d FETCH (UID %d FLAGS %b)\r\n" % (seq, uid, flags))
            self.out.send_rows(out)
            await self.out.breathe()

    def close(self) -> None:
        """Give back everything that the session holds."""
        self.command_ended()  # one that was cut off may have read messages
        self.unselect()
        if self.account is not None:
            routine(
                "logout",
                session=self.client.session,
                user=self.account.address,
                peer=self.client.peer_address,
                sent=self.out.sent,
            )
