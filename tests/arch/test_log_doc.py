"""docs/logs.md names every line that sessions, deliveries, logins and certificates write."""

from tests.arch.log_events import documented, written

# Everybody's fields, told once in the document.
COMMON = {"session", "id"}
NO_SECRETS = {"password", "secret", "token", "body", "subject", "text"}


def test_every_event_is_in_the_document_and_no_other() -> None:
    assert set(written()) == set(documented())


def test_levels_and_fields_are_those_of_the_document() -> None:
    said = documented()
    wrong = {
        name: (event.levels ^ said[name].levels, event.fields - said[name].fields)
        for name, event in written().items()
        if event.levels != said[name].levels or event.fields - said[name].fields
    }
    assert not wrong


def test_lines_of_a_session_name_it() -> None:
    """What tells of one connection or message bears its id; the others are about the service."""
    others = ("tls ", "traces", "no traces", "audit", "the audit", "passwords cross")
    of_services = {name for name in written() if name.startswith(others)}
    without = {
        name
        for name, event in written().items()
        if not event.fields & COMMON and name not in of_services and event.levels != {"always"}
    }
    assert not without


def test_no_field_is_named_for_what_must_not_be_there() -> None:
    assert not {word for event in written().values() for word in event.fields} & NO_SECRETS
