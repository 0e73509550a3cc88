"""The modules in their order, with courier-authlib's rules, and the default options.

- A module that does not have the account: the next is asked. So too after a wrong password:
  the same login may stand in two modules, and the first whose password fits wins.
- A fault of a module ends the search as TEMPORARY; the modules behind it are not asked, since
  an account that the faulty module holds must not be shadowed by another of the same name.
- OPTIONS: the account's own first, then each default whose name is absent.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from time import perf_counter

from restante.model import MailError, Options
from services.auth.backends.base import Backend, KnowsDomains, Record
from services.auth.metrics import MODULE_FAULTS, MODULE_SECONDS
from services.auth.names import Login
from services.auth.trace import step


class Chain:
    """All modules as one."""

    def __init__(self, modules: Sequence[Backend], default_options: Options | None = None) -> None:
        self.modules = tuple(modules)
        self._defaults = default_options or Options()

    async def open(self) -> None:
        """Open every module. Raises the first fault, after all have been tried."""
        fault: MailError | None = None
        for module in self.modules:
            try:
                await module.open()
            except MailError as error:
                fault = fault or error
        if fault is not None:
            raise fault

    async def candidates(self, login: Login) -> AsyncIterator[tuple[Backend, Record]]:
        """Yield the login's record of each module that has one."""
        for module in self.modules:
            record = await _ask(module, login)
            if record is not None:
                yield module, self._with_defaults(record)

    async def find(self, login: Login, only: str = "") -> tuple[Backend, Record] | None:
        """Return the first module's record; `only` names a single module to ask."""
        for module in self.modules:
            if only and module.name != only:
                continue
            record = await _ask(module, login)
            if record is not None:
                return module, self._with_defaults(record)
        return None

    async def records(self) -> AsyncIterator[tuple[Backend, Record]]:
        """Yield every account of every module, module by module."""
        for module in self.modules:
            async for record in module.records():
                yield module, self._with_defaults(record)

    async def has_domain(self, name: str) -> bool:
        """True for a domain that a module knows as such, with or without accounts."""
        for module in self.modules:
            if isinstance(module, KnowsDomains) and await module.has_domain(name):
                return True
        return False

    async def close(self) -> None:
        """Close every module."""
        for module in self.modules:
            await module.close()

    def _with_defaults(self, record: Record) -> Record:
        if not self._defaults.items_:
            return record
        account = record.account
        merged = account.options.merged(self._defaults)
        return replace(record, account=replace(account, options=merged))


async def _ask(module: Backend, login: Login) -> Record | None:
    with step(f"module {module.name}") as asked:
        started = perf_counter()
        try:
            record = await module.find(login)
        except MailError:
            MODULE_FAULTS.labels(module.name).inc()
            raise
        MODULE_SECONDS.labels(module.name).observe(perf_counter() - started)
        asked.answer = "not mine" if record is None else "found"
    return record
