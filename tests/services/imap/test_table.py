"""The dispatch table against the wire's commands, state by state."""

from restante.wire.imap import commands
from services.imap.session import State
from services.imap.table import TABLE, Does


def test_every_command_of_the_wire_has_a_row() -> None:
    known = {
        kind
        for kind in vars(commands).values()
        if isinstance(kind, type) and issubclass(kind, commands.Command) and kind.name
    }
    assert set(TABLE) == known


def test_nothing_but_logging_in_is_possible_before_login() -> None:
    before = {kind.name for kind, entry in TABLE.items() if entry.states & State.CONNECTED}
    assert before == {
        "CAPABILITY", "NOOP", "LOGOUT", "ID", "STARTTLS", "AUTHENTICATE", "LOGIN",
    }  # fmt: skip


def test_nobody_logs_in_twice() -> None:
    for kind in (commands.StartTls, commands.Authenticate, commands.Login):
        assert TABLE[kind].states == State.CONNECTED


def test_expunges_are_withheld_from_numbered_commands_only() -> None:
    """RFC 3501 section 7.4.1."""
    numbered = {kind.name for kind, entry in TABLE.items() if Does.NUMBERED in entry.does}
    assert numbered == {"FETCH", "STORE", "SEARCH"}
