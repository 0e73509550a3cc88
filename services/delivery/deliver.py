"""The one way of a message into mailboxes, behind both hooks.

A hook resolves recipients (recipients.py), makes a `Message`, gives it the bytes as they come, and
asks for one result per recipient. What happens in between is the same for LMTP and HTTP:

- Trace fields go first, Return-Path fields of the sender's side go out (trace.py).
- A small message is collected in memory and stored in one hop through the pool. A larger one goes
  to the disk in pieces while it comes; the hook does not read on while a piece is being
  written, so that a fast sender is held back by the disk, not by our memory.
- Recipients that mean one mailbox get one copy and the same answer. Everybody else's copy is a
  hard link of one file where the volume allows it.
- A result is given when the message is durable, and only then. After a failure in the middle of
  the message the rest is swallowed, so that a protocol stays in step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

from restante.model import INBOX, Envelope, ErrorKind, MailError, spans
from restante.runtime.log import get_logger
from restante.store.account import MailStore
from restante.store.delivery import SMALL, Incoming
from restante.store.names import new_id, unique_part
from restante.store.pool import StorePool
from services.delivery import metrics
from services.delivery.recipients import Target
from services.delivery.trace import ReturnPathRemover, mta_id_of, trace_fields

_log = get_logger(__name__)

_PIECE: Final = 256 * 1024  # bytes that are written to the disk in one hop


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the message for one recipient; `error` is None when it is stored."""

    target: Target
    error: MailError | None = None
    duplicate: bool = False  # an earlier request with the same key delivered it
    name: str = ""  # the unique name of a message with a key: what is known at its first read


@dataclass(frozen=True, slots=True)
class Depot:
    """What messages need of their worker."""

    store: MailStore
    pool: StorePool
    hostname: str
    max_size: int
    refuse_bare: bool = False


class Message:
    """One message on its way in. write() as it comes, then finish(); abort() in any other case."""

    __slots__ = (
        "_chunks",
        "_depot",
        "_failure",
        "_held",
        "_hook",
        "_incoming",
        "_peer",
        "_remover",
        "_sender",
        "_size",
        "_targets",
        "id",
        "mta_id",
        "session",
    )

    def __init__(
        self,
        depot: Depot,
        envelope: Envelope,
        targets: Sequence[Target],
        *,
        session: str = "",
        mta_id: str | None = "",
    ) -> None:
        """`targets` are those of `envelope.recipients`, in order; there is at least one.

        For the log alone: the id of the client's `session`, and the id that the sending MTA gave
        the message; None takes it from its first Received field.
        """
        self._depot = depot
        self._targets = targets
        self._sender = "<>" if envelope.sender is None else str(envelope.sender)
        self._peer = envelope.peer
        self._hook = "http" if envelope.protocol.startswith("HTTP") else "lmtp"
        self.id = new_id()
        self.session, self.mta_id = session, mta_id
        self._chunks = [trace_fields(envelope, hostname=depot.hostname, id=self.id)]
        self._held = 0
        self._size = 0
        self._incoming: Incoming | None = None
        self._remover = ReturnPathRemover()
        self._failure: MailError | None = None

    def hold(self, data: bytes) -> bool:
        """Take bytes of the message; True means that flush() is due before the next."""
        if self._failure is not None:
            return False
        self._size += len(data)
        if self._size > self._depot.max_size:
            self._fail(MailError(ErrorKind.TOO_LARGE, "The message is too large"))
            return self._incoming is not None
        data = self._remover.feed(data)
        if self.mta_id is None and data:  # what it gives first has the whole header
            self.mta_id = mta_id_of(data)
        self._chunks.append(data)
        self._held += len(data)
        return self._held >= _PIECE

    async def flush(self) -> None:
        """Write what is held to the disk. Never raises MailError: finish() tells."""
        chunks, self._chunks, self._held = self._chunks, [], 0
        try:
            await self._depot.pool.run(self._stream, chunks)
        except MailError as fault:
            self._fail(fault)
            await self.abort()

    def refuse(self, error: MailError) -> None:
        """Take nothing more, and answer `error` for every recipient."""
        self._fail(error)

    async def finish(self, key: str | None = None) -> list[Result]:
        """The message is complete: store it. One result per target, in order.

        With `key` the same message is delivered once to each mailbox, however often it is sent.
        """
        results, started = None, perf_counter()
        if self._failure is None:
            rest = self._remover.finish()
            if rest:
                if self.mta_id is None:
                    self.mta_id = mta_id_of(rest)
                self._chunks.append(rest)
            try:
                results = await self._put(key)
            except MailError as fault:
                self._fail(fault)
        if results is None:
            failure = self._failure
            await self.abort()
            results = [Result(target, failure) for target in self._targets]
        spent = perf_counter() - started
        metrics.delivered(self._hook, map(_word, results), size=self._size, seconds=spent)
        self._tell(results)
        return results

    async def _put(self, key: str | None) -> list[Result]:
        if not spans.on():
            return await self._depot.pool.run(self._store, key)
        with spans.span("store", recipients=len(self._targets), size=self._size) as span:
            span.note(id=self.id, mta_id=self.mta_id or "", sender=self._sender)
            results = await self._depot.pool.run(spans.carried(self._store), key)
            failures = [r.error.kind.value for r in results if r.error is not None]
            if failures:
                span.failed(failures[0])
            return results

    async def abort(self) -> None:
        """Leave nothing behind. Harmless after finish()."""
        self._chunks = []
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            await self._depot.pool.run(incoming.abort)

    def _tell(self, results: list[Result]) -> None:
        """One line in the log per message, and one per recipient that did not get it."""
        stored = [r for r in results if r.error is None]
        if stored and stored[0].name:  # each has a name of its own, which says nothing of `id`
            for result in stored:
                self._say_delivered(result, 0)
        elif stored:
            self._say_delivered(stored[0], len(stored) - 1)
        for result in results:
            if result.error is not None:
                _log.warning(
                    "not delivered",
                    id=self.id,
                    mta_id=self.mta_id or None,
                    session=self.session or None,
                    sender=self._sender,
                    recipient=str(result.target.recipient),
                    reason=result.error.text,
                    peer=self._peer,
                )

    def _say_delivered(self, result: Result, more: int) -> None:
        _log.info(
            "delivered",
            id=self.id,
            mta_id=self.mta_id or None,
            session=self.session or None,
            sender=self._sender,
            recipient=str(result.target.recipient),
            more=more or None,
            size=self._size,
            peer=self._peer,
            name=result.name or None,
            duplicate=result.duplicate or None,
        )

    def _fail(self, error: MailError) -> None:
        if self._failure is None:
            self._failure = error
        self._chunks = []

    # --- BLOCKING, in the pool --------------------------------------------------------------------

    def _stream(self, chunks: list[bytes]) -> None:
        self._write(chunks)

    def _write(self, chunks: list[bytes]) -> Incoming:
        incoming = self._incoming
        if incoming is None:
            first = self._depot.store.open_account(self._targets[0].account)
            if sum(map(len, chunks)) > SMALL:
                # It goes into the tmp/ of the first recipient, who may never have had mail.
                first.ensure()
            incoming = Incoming(first, self.id)
            self._incoming = incoming
        for chunk in chunks:
            incoming.write(chunk)
        return incoming

    def _store(self, key: str | None) -> list[Result]:
        targets = self._targets
        incoming = self._write(self._chunks)
        try:
            if len(targets) == 1:
                return [self._deliver(incoming, targets[0], key, last=True)]
            return self._deliver_each(incoming, targets, key)
        finally:
            self._incoming = None
            incoming.abort()

    def _deliver_each(
        self, incoming: Incoming, targets: Sequence[Target], key: str | None
    ) -> list[Result]:
        mailboxes = {(t.account.address, t.folder): t for t in targets}
        distinct = list(mailboxes.values())
        simple = key is None and all(t.folder == INBOX and not t.ignore_quota for t in distinct)
        if simple:
            accounts = []
            for target in distinct:
                accounts.append(self._depot.store.open_account(target.account))
            outcomes = incoming.deliver_many(accounts)
            errors = [o if isinstance(o, MailError) else None for o in outcomes]
            results = [Result(t, e) for t, e in zip(distinct, errors, strict=True)]
        else:
            results = [
                self._deliver(incoming, t, key, last=i == len(distinct))
                for i, t in enumerate(distinct, 1)
            ]
        by_mailbox = dict(zip(mailboxes, results, strict=True))
        return [_same(by_mailbox[(t.account.address, t.folder)], t) for t in targets]

    def _deliver(
        self, incoming: Incoming, target: Target, key: str | None, *, last: bool
    ) -> Result:
        account = self._depot.store.open_account(target.account)
        folder = target.folder
        while True:
            try:
                done = incoming.deliver(
                    account,
                    folder,
                    last=last,
                    key=key,
                    check_quota=not target.ignore_quota,
                )
            except MailError as fault:
                if fault.kind is ErrorKind.NO_SUCH_FOLDER and folder != INBOX:
                    folder = INBOX  # the detail of the address names no folder
                    continue
                return Result(target, fault)
            name = unique_part(done.base) if key is not None else ""
            return Result(target, duplicate=done.duplicate, name=name)


def _word(result: Result) -> str:
    """What the result is called where it is counted."""
    if result.error is not None:
        return result.error.kind.value
    return "duplicate" if result.duplicate else "stored"


def _same(result: Result, target: Target) -> Result:
    return result if result.target is target else replace(result, target=target)
