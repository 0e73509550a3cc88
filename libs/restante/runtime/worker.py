"""A worker process: one event loop, one Service, told to end by SIGTERM or its parent's death."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import structlog
import uvloop

from restante.model import MailError, tally
from restante.runtime import log, metrics, tracing, usage
from restante.runtime.limits import ConnectionLimits, SharedCounts
from restante.runtime.readiness import Need, Readiness
from restante.runtime.settings import ServiceSettings
from restante.runtime.tls import TlsContexts
from restante.runtime.tls_names import TlsNames

HEARTBEAT: Final = 10.0  # seconds
EXIT_CANNOT_START: Final = 1
_AFTER_DRAIN: Final = 3.0  # seconds for a drain() that does not keep its own bound

S = TypeVar("S", bound=ServiceSettings)
S_co = TypeVar("S_co", bound=ServiceSettings, covariant=True)


class Service(Protocol):
    """What a worker runs."""

    async def start(self) -> None:
        """Bind and serve; return when connections are accepted."""

    async def drain(self) -> None:
        """Stop accepting and let sessions end, within settings.drain_seconds."""


@dataclass
class WorkerContext(Generic[S]):
    """What a worker's Service gets."""

    name: str
    settings: S  # with the real ports
    worker_index: int
    shared: SharedCounts
    log: structlog.stdlib.BoundLogger
    _pipe: int = -1  # to the parent; -1 when there is none
    sheets: metrics.Sheets | None = None  # where the metrics go; None: nowhere
    _beats: list[Callable[[], None]] = field(default_factory=list)
    _needs: dict[str, Need] = field(default_factory=dict)

    @cached_property
    def limits(self) -> ConnectionLimits:
        """The connection limits of the settings, over all workers."""
        s = self.settings
        return ConnectionLimits(
            s.max_connections,
            s.max_connections_per_address,
            s.max_connections_per_user,
            counts=self.shared,
        )

    @cached_property
    def tls(self) -> TlsContexts | None:
        """The contexts of the certificate in the settings; None when there is no certificate.

        Raises MailError(CANNOT) when there is one that cannot be loaded, or when the settings
        name one that does not exist.
        """
        s = self.settings
        named = {"tls_certificate", "tls_key"} & s.model_fields_set
        if not named and not (s.tls_certificate.exists() and s.tls_key.exists()):
            return None
        names = TlsNames(s.tls_sni, s.tls_client_ca) if s.tls_sni is not None else None
        choose = names.find if names is not None else None
        return TlsContexts(s.tls_certificate, s.tls_key, s.tls_client_ca, choose)

    def set_ready(self, ready: bool, reason: str = "") -> None:
        """Tell /readyz that this worker can or, for a while, cannot do its work."""
        self.tell("ready" if ready else f"notready {log.escape(reason)[:200]}")

    def need(self, name: str, need: Need) -> None:
        """Be ready only while `need` passes; called again and again, see readiness.py."""
        self._needs[name] = need

    @property
    def readiness(self) -> Readiness:
        """A watch over everything that is needed."""
        return Readiness(self._needs, self.set_ready)

    def every_beat(self, call: Callable[[], None]) -> None:
        """Call `call` every HEARTBEAT seconds: gauges, small housekeeping. It must not block."""
        self._beats.append(call)

    def tell(self, line: str) -> None:
        """Send one line to the parent."""
        if self._pipe >= 0:
            with contextlib.suppress(OSError):
                os.write(self._pipe, line.encode() + b"\n")

    def write_metrics(self) -> None:
        """Let the parent see what was counted so far."""
        if self.sheets is not None:
            self.sheets.write(self.worker_index)

    def beat(self) -> None:
        """One heartbeat."""
        self.tell("beat")
        for call in self._beats:
            try:
                call()
            except Exception:
                self.log.exception("heartbeat task failed")


Factory = Callable[[WorkerContext[S]], Service]


def run_worker(context: WorkerContext[S], factory: Factory[S], lifeline: int) -> int:
    """Run the service in this process until it is told to end; return the exit code.

    `lifeline` is the read end of a pipe that only the parent holds open for writing.
    """
    log.set_process(f"{context.name}[{context.worker_index}]")
    context.shared.worker = context.worker_index
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"restante-{context.name}"[:15])
    tally.reset()
    stop_tracing = tracing.start(context.name, context.settings)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(context, factory, lifeline))
    finally:
        if stop_tracing is not None:
            stop_tracing()
        context.write_metrics()


async def _serve(context: WorkerContext[S], factory: Factory[S], lifeline: int) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    metrics.Pulse(context.write_metrics)
    context.every_beat(usage.Usage(context.worker_index).look)
    if lifeline >= 0:
        loop.add_reader(lifeline, _parent_died, loop, lifeline, stop)
    try:
        service = factory(context)
        started = asyncio.ensure_future(service.start())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()
            return 0
        started.result()
    except (MailError, OSError) as error:
        reason = error.text if isinstance(error, MailError) else str(error)
        context.log.error("cannot start", reason=reason)  # noqa: TRY400 - one line, no traceback
        context.tell(f"cannot {log.escape(reason)[:1000]}")
        return EXIT_CANNOT_START
    context.tell("started")
    looking = loop.create_task(context.readiness.run())
    beats = loop.create_task(_beat(context))
    await stopped
    looking.cancel()
    context.set_ready(False, "draining")
    beats.cancel()
    try:
        async with asyncio.timeout(context.settings.drain_seconds + _AFTER_DRAIN):
            await service.drain()
    except TimeoutError:
        context.log.warning("drain took too long")
    return 0


def _parent_died(loop: asyncio.AbstractEventLoop, lifeline: int, stop: asyncio.Event) -> None:
    loop.remove_reader(lifeline)
    stop.set()


async def _beat(context: WorkerContext[S]) -> None:
    while True:
        context.beat()
        await asyncio.sleep(HEARTBEAT)


def exit_now(code: int) -> None:
    """End a forked worker without running what its parent registered for its own exit."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
