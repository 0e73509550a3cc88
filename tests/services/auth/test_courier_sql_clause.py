"""Courier's clauses with bound parameters: what becomes one, what stays, what is refused."""

import pytest

from services.auth.backends.courier_sql_clause import Dialect, compile_clause

VALUES = {"local_part": "o'brien", "domain": "ex\\ample.test", "service": "imap"}
ALL: tuple[Dialect, ...] = ("mysql", "pgsql", "sqlite")


def bound(text: str, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    clause = compile_clause(text, dialect)
    return clause.sql.replace("%s", "?"), clause.bind(VALUES)


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize(
    ("text", "sql", "values"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("a='$(local_part)' AND b='$(domain)'", "a=? AND b=?", ("o'brien", "ex\\ample.test")),
        ("a = '$(local_part)@$(domain)'", "a = ?", ("o'brien@ex\\ample.test",)),
        ("a = $(service)", "a = ?", ("imap",)),
        ("f($(service),'x')", "f(?,'x')", ("imap",)),
        ("a = 'it''s $(service)'", "a = ?", ("it's imap",)),
        ("a = '' AND b = '$(service)'", "a = '' AND b = ?", ("imap",)),
        ("a = '''' AND b = '$(service)'", "a = '''' AND b = ?", ("imap",)),
        ("a = N'$(service)'", "a = ?", ("imap",)),
        ("a = '$(nobody)$x'", "a = ?", ("$x",)),
        ("a = '$(local_part'", "a = '$(local_part'", None),
        ("a = 1 -- it's '$(service)'", "a = 1 -- it's '$(service)'", ()),
        ("a /* '$(service) */ = '$(service)'", "a /* '$(service) */ = ?", ("imap",)),
        ("a = '%' || $(service) || '%'", None, ("imap",)),
    ],
)
def test_what_becomes_a_parameter(
    dialect: Dialect, text: str, sql: str | None, values: tuple[str, ...] | None
) -> None:
    if values is None:  # the place does not end: it is what it is in SQL, a text
        assert compile_clause(text, dialect).parameters in ((), ((("$(local_part", False),),))
        return
    found = bound(text, dialect)
    assert found[1] == values
    if sql is not None:
        assert found[0] == sql


@pytest.mark.parametrize(
    ("dialect", "text", "values"),
    [
        ("mysql", 'a = "$(local_part)"', ("o'brien",)),
        ("mysql", 'a = "say ""$(service)"""', ('say "imap"',)),
        ("mysql", r"a = 'it\'s $(service)\n'", ("it's imap\n",)),
        ("mysql", r"a = '\\' AND b = '$(service)'", ("imap",)),
        ("mysql", "a = 5--3 AND b = '$(service)'", ("imap",)),
        ("mysql", "a = 1 # '$(service)", ()),
        ("sqlite", 'a = "$(local_part)"', ("o'brien",)),
        ("sqlite", r"a = '\' AND b = '$(service)'", ("imap",)),
        ("pgsql", r"a = '\' AND b = '$(service)'", ("imap",)),
        ("pgsql", r"a = E'\'$(service)'", ("'imap",)),
        ("pgsql", "a = '$(service)'::text", ("imap",)),
        ("pgsql", "a = $tag$it's$tag$ AND b = '$(service)'", ("imap",)),
    ],
)
def test_each_server_quotes_in_its_own_way(
    dialect: Dialect, text: str, values: tuple[str, ...]
) -> None:
    assert bound(text, dialect)[1] == values


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM users_$(domain)",
        "SELECT $(service)_enabled FROM users",
        "SELECT a.$(service) FROM a",
        "SELECT $(service)(1)",
        "a = 'open",
        "a = x'$(domain)'",
        "a = _utf8'$(domain)'",
        "a = $(domain)'x'",
    ],
)
def test_what_cannot_be_bound_is_refused(dialect: Dialect, text: str) -> None:
    with pytest.raises(ValueError, match=r"value of its own|does not end"):
        compile_clause(text, dialect)


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("mysql", "SELECT `$(service)` FROM a"),
        ("sqlite", "SELECT [$(service)] FROM a"),
        ("pgsql", 'SELECT "$(service)" FROM a'),
        ("pgsql", "SELECT $x$ $(service) $x$"),
    ],
)
def test_names_in_quotes_are_refused(dialect: Dialect, text: str) -> None:
    with pytest.raises(ValueError, match="quotes of a name"):
        compile_clause(text, dialect)


def test_percent_signs_are_those_of_the_driver() -> None:
    text = "a LIKE '%x' AND b % 2 = '$(service)' -- 5 %"
    assert compile_clause(text, "pgsql").sql == "a LIKE '%%x' AND b %% 2 = %s -- 5 %%"
    assert compile_clause(text, "mysql").sql == "a LIKE '%%x' AND b %% 2 = %s -- 5 %%"
    assert compile_clause(text, "sqlite").sql == "a LIKE '%x' AND b % 2 = ? -- 5 %"
