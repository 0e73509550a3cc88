"""Logs: what came from the network cannot forge lines, and secrets do not appear."""

import json
import logging

import pytest
import structlog

from restante.runtime import log


@pytest.fixture(autouse=True)
def put_back() -> "object":
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().err.splitlines()


HOSTILE = 'x\r\nOK bob logged in\x1b[2J\0\x7f\x85\u2028\u202e "q" \\'


@pytest.mark.parametrize("style", ["console", "json"])
def test_one_event_is_one_printable_line(capfd: pytest.CaptureFixture[str], style: str) -> None:
    log.configure("info", style)
    log.get_logger("t").info("login failed", user=HOSTILE, raw=HOSTILE.encode())
    text = capfd.readouterr().err
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert "\\r\\n" in text


def test_json_is_json(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    log.get_logger("t").warning("event", user=HOSTILE, count=3, rate=0.5, none=None, obj=object())
    event = json.loads(lines(capfd)[0])
    assert event["event"] == "event"
    assert event["level"] == "warning"
    assert event["count"] == 3
    assert event["user"] == HOSTILE, "JSON's own escapes are enough, and exact"


@pytest.mark.parametrize("style", ["console", "json"])
def test_secrets_are_replaced(capfd: pytest.CaptureFixture[str], style: str) -> None:
    log.configure("info", style)
    log.get_logger("t").info(
        "x", password="hunter2", new_password=b"hunter2", Authorization="hunter2", token=None
    )
    text = capfd.readouterr().err
    assert "hunter2" not in text
    assert text.count("***") == 4


def test_level(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "console")
    logger = log.get_logger("t")
    logger.info("no")
    logger.warning("yes")
    assert [line.split(": ")[1] for line in lines(capfd)] == ["yes"]


def test_traceback_is_indented_and_printable(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "console")
    try:
        int("bad\r\nvalue \x1b[2J")
    except ValueError:
        log.get_logger("t").exception("session failed", peer="192.0.2.1")
    first, *rest = lines(capfd)
    assert "session failed peer=192.0.2.1" in first
    assert len(rest) >= 3
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_libraries_use_the_same_lines(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "console")
    log.set_process("imap[0]")
    logging.getLogger("uvicorn.error").warning("odd %s", "name\r\nforged")
    logging.getLogger("asyncio").info("not interesting")
    (line,) = lines(capfd)
    assert "warning imap[0]: odd name\\r\\nforged" in line
    log.set_process("restante")


def test_long_values_are_cut(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "console")
    log.get_logger("t").info("x", value="y" * 100_000)
    assert len(capfd.readouterr().err) < 3000
