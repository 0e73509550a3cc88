"""Where each request of administration passes, whichever door it came through.

Invariants
- Nothing is done before somebody is known who may do it, by a rule of the method's own.
- Every change, made or refused, is in the audit log before it is answered, and so is everything
  else that was refused. All who watch have heard of a change by then.
- A change that has begun is carried out to its end and recorded as what it became, even where
  the caller goes away or its time is over (then: TEMPORARY, and it may have happened).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from services.auth import masters
from services.auth.admin.gate import Credentials, Gate
from services.auth.admin.roles import Caller, Right
from services.auth.admin.rules import RULES, About, Rule
from services.auth.audit import Audit, Kind
from services.auth.database.engine import Database
from services.auth.names import NameRules

log = get_logger(__name__)

_Q = TypeVar("_Q")
_R = TypeVar("_R")

Run = Callable[[Caller, _Q], Awaitable[_R]]


@dataclass(frozen=True, slots=True)
class _Case:
    """One request."""

    rule: Rule
    about: About
    given: Credentials


class Desk:
    """Admits, carries out, records."""

    def __init__(
        self,
        gate: Gate,
        rules: NameRules,
        database: Database,
        audit: Audit,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """`changed` is awaited after every change."""
        self._gate, self._names, self._database = gate, rules, database
        self._audit, self._changed = audit, changed
        self._tasks: set[asyncio.Task[object]] = set()

    async def perform(
        self,
        method: str,
        given: Credentials,
        request: _Q,
        run: Run[_Q, _R],
        *,
        seconds: float | None = None,
    ) -> _R:
        """Run a method for whoever calls, within its time and `seconds`. Raises MailError."""
        rule = RULES.get(method)
        if rule is None:
            raise MailError(ErrorKind.PERMISSION, "nobody may do this")
        case = _Case(rule, rule.about(request), given)
        limit = rule.seconds if seconds is None else min(rule.seconds, max(0.0, seconds))
        caller = await self._admitted(case, request)
        work = self._carry_out(case, caller, run(caller, request))
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(limit):
                return await asyncio.shield(task)
        except TimeoutError:
            text = "not done in time; it may still be" if rule.change else "not done in time"
            raise MailError(ErrorKind.TEMPORARY, text) from None
        finally:
            if not rule.change:
                task.cancel()

    @property
    def busy(self) -> bool:
        """True while something is under way."""
        return bool(self._tasks)

    async def close(self, grace: float) -> None:
        """Wait `grace` seconds for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)

    async def _admitted(self, case: _Case, request: object) -> Caller:
        """Return the caller, if he may. Raises MailError(PERMISSION | TEMPORARY)."""
        rule, name = case.rule, "nobody"
        try:
            caller = await self._gate.identify(case.given)
            name = caller.name
            needed = max(rule.right, rule.more(request)) if rule.more else rule.right
            caller.need(needed)
            addresses = self._check_domains(case, caller)
            if needed >= Right.MANAGE and not caller.may(Right.ALL):
                await self._check_masters(addresses, caller)
        except MailError as error:
            await self._record(case, name, error)
            raise
        return caller

    def _check_domains(self, case: _Case, caller: Caller) -> list[str]:
        """Return the canonical addresses of a request, whose domains are the caller's."""
        about, found = case.about, list[str]()
        if caller.domains is None:
            return found
        if not (about.addresses or about.domains or case.rule.narrows):
            raise MailError(ErrorKind.PERMISSION, "this is not about your domains alone")
        for domain in about.domains:
            caller.need_domain(domain.lower())
        for address in about.addresses:
            try:
                login = self._names.parse(address)
            except MailError:
                caller.need_domain("")
            else:
                caller.need_domain(login.domain)
                found.append(login.address)
        return found

    async def _check_masters(self, addresses: Sequence[str], caller: Caller) -> None:
        """Whoever sets a master's password could log in as anybody that the master may be."""
        found = await self._database.run(lambda c: masters.find(c, *addresses))
        for master in found.values():
            if not (master.domains and caller.domains and caller.domains >= set(master.domains)):
                raise MailError(ErrorKind.PERMISSION, "this account is a master user")

    async def _carry_out(self, case: _Case, caller: Caller, work: Awaitable[_R]) -> _R:
        change = case.rule.change
        try:
            answer = await work
            if change:
                await self._changed()
        except MailError as error:
            if change or error.kind is ErrorKind.PERMISSION:
                await self._record(case, caller.name, error)
            raise
        except Exception as error:
            log.exception("admin call failed", action=case.rule.action)
            fault = MailError(ErrorKind.INTERNAL, "internal fault")
            await self._record(case, caller.name, fault)
            raise fault from error
        await self._record(case, caller.name, None)
        return answer

    async def _record(self, case: _Case, actor: str, fault: MailError | None) -> None:
        rule, about = case.rule, case.about
        target, domain = about.target, next(iter(about.domains), "")
        if about.addresses:
            domain = ""  # is the address's
            with suppress(MailError):
                target = self._names.parse(target).address
        kind = Kind.CHANGES if rule.change else Kind.READS
        self._audit.record(
            action=f"admin.{rule.action}",
            actor=actor,
            address=target,
            domain=domain,
            peer=case.given.peer,
            result=fault.kind.value if fault else "ok",
            detail=about.detail,
            kind=Kind.FAILURES if fault else kind,
        )
        if rule.change:
            await self._audit.flush()

    def _ended(self, task: "asyncio.Task[object]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # was answered or recorded: asyncio need not complain of it
