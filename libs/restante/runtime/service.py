"""The life of a service: a parent that forks workers and looks after them.

The parent has no threads and no event loop, because it forks at any time; it runs a selector over
signals, the workers' pipes, and the health server. Every worker is forked before anything in it
starts a loop, threads or gRPC.

- A worker that dies is started again, after 0.2 s; one that dies before it was up (it accepts
  connections, whether or not all is there that it needs), after twice as long each time, up to
  10 s. Its connection counts are cleared before.
- A worker that dies before the service was ever up ends the service with its exit code: what
  fails at the first start is a wrong setting or a broken machine, and restarting hides it.
- SIGTERM and SIGINT drain: workers get SIGTERM, then drain_seconds and some more, then SIGKILL.
  A second signal kills at once.
- When the parent is killed, its workers see end of file on the lifeline pipe and drain.

Race: a signal between two turns of the loop is kept by the wakeup socket, so that select()
returns at once.
"""

import contextlib
import gc
import os
import resource
import selectors
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from restante.model import MailError
from restante.runtime import facts, log, memory, metrics, notify, sockets, tracing
from restante.runtime.health import Answer, HealthServer
from restante.runtime.limits import SharedCounts
from restante.runtime.runfile import RunFile
from restante.runtime.settings import ListenAddress, ServiceSettings
from restante.runtime.worker import (
    EXIT_CANNOT_START,
    HEARTBEAT,
    Factory,
    Service,
    WorkerContext,
    exit_now,
    run_worker,
)

__all__ = ["Service", "WorkerContext", "run_service"]

_FIRST_PAUSE: Final = 0.2  # seconds before a dead worker is started again
_LONGEST_PAUSE: Final = 10.0
_SILENT_AFTER: Final = 6 * HEARTBEAT
_KILL_AFTER: Final = 5.0  # seconds beyond drain_seconds

S = TypeVar("S", bound=ServiceSettings)


@dataclass(slots=True)
class _Worker:
    index: int
    pid: int = 0  # 0: not running
    pipe: int = -1
    unread: bytes = b""
    ready: bool = False
    was_up: bool = False  # it accepted connections
    reason: str = "starting"
    started: float = 0.0
    heard: float = 0.0
    pause: float = _FIRST_PAUSE
    restart_at: float = 0.0
    restarts: int = 0
    last_words: str = ""  # why it cannot start


def run_service(name: str, settings: S, factory: Factory[S]) -> int:
    """Run a service until it is told to end; return the process's exit code.

    `factory` is called in each worker, inside its running loop. Exit codes: 0 after a drain, 1
    when it cannot start (an address in use, ...), else what the first failing worker returned.
    """
    log.configure(settings.log_level, settings.log_format)
    log.set_process(name)
    notifier = notify.Notifier.from_environment()
    parent = _Parent(name, settings, factory, notifier)
    tracing.announce(settings)
    try:
        parent.prepare()
    except (MailError, OSError) as error:
        reason = error.text if isinstance(error, MailError) else str(error)
        log.get_logger(__name__).error("cannot start", reason=reason)
        notifier.failed(reason)
        return EXIT_CANNOT_START
    return parent.run()


@dataclass
class _Parent(Generic[S]):
    name: str
    settings: S
    factory: Factory[S]
    notifier: notify.Notifier
    workers: list[_Worker] = field(default_factory=list)
    held: list[socket.socket] = field(default_factory=list)
    stopping: bool = False
    kill_at: float = 0.0
    code: int = 0
    ever_ready: bool = False

    def prepare(self) -> None:
        """Everything that can fail before a worker exists."""
        self.log = log.get_logger(__name__)
        os.umask(0o077)
        self.settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings.run_dir.mkdir(mode=0o700, exist_ok=True)
        _raise_file_limit()
        memory.map_large_blocks()
        self.selector = selectors.DefaultSelector()
        share_unix = self.settings.worker_count > 1
        real: dict[str, ListenAddress] = {}
        for key, address in self.settings.listeners.items():
            real[key], sock = sockets.reserve(address, share_unix=share_unix)
            if sock is not None:
                self.held.append(sock)
        self.health: HealthServer | None = None
        if self.settings.health_listen:
            sock = sockets.bind_alone(self.settings.health_listen)
            self.health = HealthServer(sock, self.selector, self.answer)
            if not self.settings.health_listen.is_unix:
                real["health_listen"] = ListenAddress(
                    self.settings.health_listen.host, sock.getsockname()[1]
                )
        self.settings = self.settings.model_copy(update=real)
        self.sheets = metrics.Sheets(self.name, self.settings.worker_count)
        self.counts = SharedCounts(self.settings.worker_count)
        self.lifeline = os.pipe()
        self.wakeup = socket.socketpair()
        for sock in self.wakeup:
            sock.setblocking(False)

    def run(self) -> int:
        """Fork, look after, drain; return the exit code."""
        settings = self.settings
        endpoints = {**settings.listeners, "health_listen": settings.health_listen}
        run_file = RunFile(
            self.name,
            os.getpid(),
            settings.worker_count,
            time.time(),
            {key: str(address) for key, address in endpoints.items() if address},
        )
        run_file.write(settings.run_dir)
        signal.set_wakeup_fd(self.wakeup[1].fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self.selector.register(self.wakeup[0], selectors.EVENT_READ, self.on_signal)
        if self.notifier.fd >= 0:
            self.selector.register(self.notifier.fd, selectors.EVENT_READ, self.on_supervisor)
        # What exists now is shared by all workers: never collected, so its pages stay shared.
        gc.collect()
        gc.freeze()
        self.workers = [_Worker(index) for index in range(settings.worker_count)]
        for worker in self.workers:
            self.spawn(worker)
        try:
            while not (self.stopping and not any(w.pid for w in self.workers)):
                self.turn()
        finally:
            self.clean_up(run_file)
        self.log.info("stopped")
        return self.code

    # --- the loop ---------------------------------------------------------------------------

    def turn(self) -> None:
        """One turn: wait for something for at most a second, and deal with it."""
        now = time.monotonic()
        due = [w.restart_at for w in self.workers if w.restart_at and not self.stopping]
        if self.stopping:
            due.append(self.kill_at)
        timeout = max(0.0, min([1.0, *(at - now for at in due)]))
        for key, _ in self.selector.select(timeout):
            key.data()
        now = time.monotonic()
        if self.health is not None:
            self.health.tick()
        if self.stopping:
            if now >= self.kill_at:
                self.kill_all()
            return
        for worker in self.workers:
            if worker.restart_at and now >= worker.restart_at:
                self.spawn(worker)

    def on_signal(self) -> None:
        """SIGTERM, SIGINT or SIGCHLD came."""
        with contextlib.suppress(BlockingIOError):
            numbers = self.wakeup[0].recv(256)
            for number in numbers:
                if number in (signal.SIGTERM, signal.SIGINT):
                    if self.stopping:
                        self.log.warning("second signal: not waiting for sessions")
                        self.kill_at = 0.0
                    else:
                        self.stop(0)
        self.reap()

    def on_supervisor(self) -> None:
        """The process that started this one closed its end: it is gone."""
        self.selector.unregister(self.notifier.fd)
        if not self.stopping:
            self.log.warning("supervisor is gone")
            self.stop(0)

    def stop(self, code: int) -> None:
        """Begin to drain."""
        self.stopping = True
        self.code = code
        self.kill_at = time.monotonic() + self.settings.drain_seconds + _KILL_AFTER
        self.notifier.stopping()
        self.log.info("stopping", drain_seconds=self.settings.drain_seconds)
        for worker in self.workers:
            worker.restart_at = 0.0
            if worker.pid:
                os.kill(worker.pid, signal.SIGTERM)

    def kill_all(self) -> None:
        """End of patience."""
        self.kill_at = time.monotonic() + 3600
        for worker in self.workers:
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)

    # --- workers ----------------------------------------------------------------------------

    def spawn(self, worker: _Worker) -> None:
        """Fork one worker."""
        worker.restart_at = 0.0
        worker.ready = worker.was_up = False
        worker.reason = "starting"
        worker.unread = b""
        worker.started = worker.heard = time.monotonic()
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            self.become_worker(worker, read_end, write_end)
        os.close(write_end)
        os.set_blocking(read_end, False)
        worker.pid, worker.pipe = pid, read_end
        self.selector.register(read_end, selectors.EVENT_READ, lambda: self.on_pipe(worker))

    def become_worker(self, worker: _Worker, read_end: int, write_end: int) -> None:
        """In the forked child: leave the parent's things and run. Does not return."""
        code = 70  # EX_SOFTWARE
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # Ctrl-C reaches the whole process group; the parent alone decides what it means.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.selector.close()
            os.close(read_end)
            os.close(self.lifeline[1])
            for other in self.workers:
                if other.pipe >= 0:
                    os.close(other.pipe)
            for sock in [*self.wakeup, *(self.health.sockets() if self.health else [])]:
                sock.close()
            self.notifier.close()
            context = WorkerContext(
                self.name,
                self.settings,
                worker.index,
                self.counts,
                log.get_logger(f"services.{self.name}"),
                write_end,
                self.sheets,
            )
            code = run_worker(context, self.factory, self.lifeline[0])
        except BaseException:  # noqa: BLE001 - the child must never run on as a second parent
            log.get_logger(__name__).exception("worker failed")
        finally:
            exit_now(code)

    def on_pipe(self, worker: _Worker) -> None:
        """A worker said something."""
        if worker.pipe < 0:
            return  # reaped in this same turn of the loop
        try:
            data = os.read(worker.pipe, 4096)
        except BlockingIOError:
            return
        if not data:
            self.close_pipe(worker)
            return
        worker.heard = time.monotonic()
        *lines, worker.unread = (worker.unread + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode("utf-8", "replace").partition(" ")
            if word == "started":
                worker.was_up = True
            elif word == "ready":
                worker.ready, worker.reason = True, ""
            elif word == "notready":
                worker.ready, worker.reason = False, rest
            elif word == "cannot":
                worker.last_words = rest
        # What it needs from others may be away: that is no fault of its start, and /readyz says it.
        if not self.ever_ready and all(w.was_up for w in self.workers):
            self.ever_ready = True
            self.notifier.ready()
            self.log.info(
                "ready", workers=len(self.workers), **{k: str(v) for k, v in self.shown().items()}
            )

    def shown(self) -> dict[str, ListenAddress]:
        """The addresses for the log."""
        return self.settings.listeners

    def reap(self) -> None:
        """Find out which workers ended."""
        for worker in self.workers:
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self.on_death(worker, os.waitstatus_to_exitcode(status))

    def on_death(self, worker: _Worker, code: int) -> None:
        """A worker ended: account for it, and decide about another."""
        pid, worker.pid, worker.ready = worker.pid, 0, False
        if worker.pipe >= 0:
            self.on_pipe(worker)  # its last words
            self.close_pipe(worker)
        worker.reason = "ended"
        self.counts.clear_worker(worker.index)
        self.sheets.worker_died(worker.index)
        if self.stopping:
            return
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not self.ever_ready:
            if not worker.last_words:
                self.log.error("a worker ended before the service was ready", how=how)
            self.notifier.failed(worker.last_words or f"a worker ended at its start: {how}")
            self.stop(code if code > 0 else EXIT_CANNOT_START)
            return
        worker.pause = _FIRST_PAUSE if worker.was_up else min(worker.pause * 2, _LONGEST_PAUSE)
        worker.restart_at = time.monotonic() + worker.pause
        worker.restarts += 1
        self.log.error("a worker died and is started again", worker=worker.index, pid=pid, how=how)

    def close_pipe(self, worker: _Worker) -> None:
        """The worker's end is closed."""
        if worker.pipe >= 0:
            self.selector.unregister(worker.pipe)
            os.close(worker.pipe)
            worker.pipe = -1

    # --- health -----------------------------------------------------------------------------

    def answer(self, path: str) -> Answer | None:
        """Answer the health server's paths."""
        if path == "/livez":
            silent = [w.index for w in self.workers if self.is_silent(w)]
            if silent:
                return 503, "text/plain", f"workers do not answer: {silent}\n".encode()
            return 200, "text/plain", b"live\n"
        if path == "/readyz":
            if self.stopping:
                return 503, "text/plain", b"stopping\n"
            if self.ever_ready and any(w.ready for w in self.workers):
                return 200, "text/plain", b"ready\n"
            reasons = "; ".join(f"worker {w.index}: {w.reason}" for w in self.workers)
            return 503, "text/plain", f"not ready: {reasons}\n".encode()
        if path == "/metrics":
            return (
                200,
                "text/plain; version=0.0.4",
                self.sheets.exposition(self.own_metrics()),
            )
        return None

    def is_silent(self, worker: _Worker) -> bool:
        """Say whether a running worker has not been heard for long: its loop hangs."""
        return bool(worker.pid and worker.ready and time.monotonic() - worker.heard > _SILENT_AFTER)

    def own_metrics(self) -> list[metrics.Family]:
        """What the parent itself knows."""
        ready = sum(w.ready for w in self.workers)
        restarts = sum(w.restarts for w in self.workers)
        serves = self.answer("/readyz")
        return [
            metrics.family(
                "restante_workers",
                "gauge",
                "Worker processes.",
                ("state",),
                {("configured",): len(self.workers), ("ready",): ready},
            ),
            metrics.family(
                "restante_worker_restarts_total",
                "counter",
                "Workers that died and were started again.",
                (),
                {(): restarts},
            ),
            metrics.family(
                "restante_ready",
                "gauge",
                "1 where /readyz says that the service is ready.",
                (),
                {(): float(serves is not None and serves[0] == 200)},
            ),
            *facts.of(self.settings),
        ]

    def clean_up(self, run_file: RunFile) -> None:
        """Leave nothing behind."""
        run_file.remove(self.settings.run_dir)
        self.sheets.close()
        if self.health is not None:
            self.health.close()
        for address in self.settings.listeners.values():
            if address.is_unix:
                sockets.release_unix(address)
        for sock in self.held:
            sock.close()


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
