"""Logs: structlog for ours, the standard logging module of libraries through the same lines.

Whatever came from the network is a value, never the event text; values are escaped so that no
line break, escape sequence or control character reaches the log (log injection), and values whose
name says that they are a secret are replaced. Lines go to stderr.
"""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final, cast

import structlog

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_SECRET_NAMES: Final = (
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "credential",
    "cookie",
)
_MAX_VALUE: Final = 2000  # characters of one value

Event = MutableMapping[str, Any]

_process = "restante"
_json_style = False
_least = 20  # a number of _LEVELS


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; cheap, may be called before `configure`."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(module=name))


def set_process(name: str) -> None:
    """Name this process in its lines: "imap[0]"."""
    global _process
    _process = name


def escape(text: str) -> str:
    """Return `text` with everything that is not printable written as \\xNN or \\uNNNN."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def configure(
    level: str = "info", style: str = "console", write: Callable[[str], None] | None = None
) -> None:
    """Set up this process's logs: level debug|info|warning|error, style console|json.

    `write` takes each line, without its end; by default they go to stderr.
    """
    global _json_style, _least, _write
    _write = write or _to_stderr
    least = _least = _LEVELS[level]
    _json_style = style == "json"
    renderer = _json_line if _json_style else _console_line
    clean = _clean(str if _json_style else escape)  # JSON has escapes of its own
    structlog.configure(
        processors=[_add_common, clean, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=_Writer,
        cache_logger_on_first_use=True,
    )
    handler = _Bridge()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(least, logging.INFO) if least > 10 else logging.DEBUG)
    for noisy in ("asyncio", "sqlalchemy", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(max(least, logging.WARNING))


class _Writer:
    """Where structlog's lines go."""

    def __init__(self, *_: Any) -> None:
        pass

    def msg(self, line: str) -> None:
        _write(line)

    debug = info = warning = error = critical = exception = log = msg


def _to_stderr(line: str) -> None:
    """Write a line in one call, past sys.stderr's buffers: lines of processes do not mix."""
    data = line.encode("utf-8", "backslashreplace") + b"\n"
    try:
        while data:
            data = data[os.write(2, data) :]
    except OSError:
        pass  # nobody reads: a log that is gone must not end a session


_write: Callable[[str], None] = _to_stderr


def always(text: str, values: Mapping[str, str | float]) -> None:
    """Write a line whatever the level is. For the audit log: a third of what a logger costs.

    `values` are short, and no secrets.
    """
    event: Event = {"event": text, **values, "level": "info", "process": _process}
    if _json_style:
        _write(_json_line(None, "", event))
        return
    for key, value in values.items():
        if isinstance(value, str):
            event[key] = escape(value)
    _write(_console_line(None, "", event))


def routine(text: str, **values: str | float) -> None:
    """As a logger's `info`, for the lines that every session writes; rules as for `always`."""
    if _least <= _LEVELS["info"]:
        always(text, values)


def _add_common(logger: Any, method: str, event: Event) -> Event:
    event["level"] = "error" if method == "exception" else method
    event["process"] = _process
    if event.pop("exc_info", None) or method == "exception":
        event["exception"] = traceback.format_exc()
    return event


def _clean(escaped: Callable[[str], str]) -> Callable[[Any, str, Event], Event]:
    def clean(logger: Any, method: str, event: Event) -> Event:
        for key, value in event.items():
            if _is_secret(key):
                event[key] = "***"
            elif isinstance(value, str):
                if key != "exception":
                    event[key] = escaped(value[:_MAX_VALUE])
            elif isinstance(value, bytes | bytearray | memoryview):
                event[key] = escaped(bytes(value[:_MAX_VALUE]).decode("latin-1"))
            elif value is not None and not isinstance(value, int | float | bool):
                event[key] = escaped(str(value)[:_MAX_VALUE])
        return event

    return clean


@lru_cache(maxsize=512)
def _is_secret(key: str) -> bool:
    return any(name in key.lower() for name in _SECRET_NAMES)


def _timestamp() -> str:
    now = time.time()
    return f"{_second(int(now))}.{int(now % 1 * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(now: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))


def _console_line(logger: Any, method: str, event: Event) -> str:
    level, process, text = event.pop("level"), event.pop("process"), event.pop("event", "")
    module, exception = event.pop("module", ""), event.pop("exception", "")
    pairs = "".join(f" {key}={_quoted(value)}" for key, value in event.items() if value is not None)
    line = f"{_timestamp()} {level:<7} {process}: {text}{pairs}"
    if level in ("debug", "error") and module:
        line += f" ({module})"
    # The lines of a traceback are indented, so that none looks like a line of its own.
    for part in exception.splitlines():
        line += "\n    " + escape(part)
    return line


def _quoted(value: object) -> str:
    text = str(value)
    if text and not (" " in text or "=" in text or '"' in text):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _json_line(logger: Any, method: str, event: Event) -> str:
    return json.dumps({"time": _timestamp(), **event}, default=str)


class _Bridge(logging.Handler):
    """Records of libraries become lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log = get_logger(record.name)
            level = record.levelno
            name = "error" if level >= 40 else "warning" if level >= 30 else "info"
            if level < logging.INFO:
                name = "debug"
            values = {"exc_info": True} if record.exc_info and sys.exc_info()[0] else {}
            getattr(log, name)(record.getMessage(), **values)
        except Exception:  # noqa: BLE001 - a log line must never end a session
            self.handleError(record)
