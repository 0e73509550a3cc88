"""authmysqlrc and its siblings, as Courier reads them (compared with Debian's authdaemond)."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from restante.model import ErrorKind, MailError
from services.auth.backends.courier_sql_rc import CourierSqlConfig, parse, read

MINIMAL = "SQLITE_USER_TABLE passwd\nSQLITE_CRYPT_PWFIELD crypt\n"


def parsed(text: str, start: str = MINIMAL) -> CourierSqlConfig:
    return parse(start + text, "SQLITE_")


def where(text: str) -> str:
    found = parsed(text).select.partition(" AND (")[2]
    return found.removesuffix(")")


def test_the_query_of_a_table() -> None:
    found = parsed(
        "SQLITE_CLEAR_PWFIELD\tclear\nSQLITE_LOGIN_FIELD  login\nSQLITE_NAME_FIELD name\n"
        "SQLITE_AUXOPTIONS_FIELD 'a=' || a\nSQLITE_WHERE_CLAUSE on=1 OR x\n"
        "DEFAULT_DOMAIN Example.test\nSQLITE_DEFAULTDELIVERY x\n"
    )
    assert found.default_domain == "example.test"
    assert found.select == (
        "SELECT login, crypt, clear, uid, gid, home, '', '', name, 'a=' || a FROM passwd"
        " WHERE login = '$(login)' AND (on=1 OR x)"
    )
    assert found.enumerate == (
        "SELECT login, uid, gid, home, '', 'a=' || a FROM passwd WHERE on=1 OR x"
    )
    assert found.update == (
        "UPDATE passwd SET clear = '$(newpass)', crypt = '$(newpass_crypt)'"
        " WHERE login = '$(login)' AND (on=1 OR x)"
    )


def test_only_the_fields_that_are_there_are_set() -> None:
    assert parsed("").update == "UPDATE passwd SET crypt = '$(newpass_crypt)' WHERE id = '$(login)'"
    clear = parse("MYSQL_USER_TABLE t\nMYSQL_CLEAR_PWFIELD c\n", "MYSQL_")
    assert clear.update == "UPDATE t SET c = '$(newpass)' WHERE id = '$(login)'"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("SQLITE_WHERE_CLAUSE a\\\n   b\n", "ab"),
        ("SQLITE_WHERE_CLAUSE a \\\n\t\tb \\\n c\n", "a b c"),
        ("SQLITE_WHERE_CLAUSE a='x\\y'\n", "a='x\\y'"),
        ("SQLITE_WHERE_CLAUSE a='x\\\\y'\n", "a='x\\\\y'"),
        ("   SQLITE_WHERE_CLAUSE\t a   \n", "a"),
        ("#SQLITE_WHERE_CLAUSE a \\\nSQLITE_WHERE_CLAUSE b\n", "b"),
        ("  # SQLITE_WHERE_CLAUSE a\n", ""),
        ("SQLITE_WHERE_CLAUSE a\nSQLITE_WHERE_CLAUSE b\n", "a"),
        ("SQLITE_WHERE_CLAUSE\n", ""),
        ("SQLITE_WHERE_CLAUSE a # b\n", "a # b"),
        ("SQLITE_WHERE_CLAUSE a\\\n# b\n", "a# b"),
        ("SQLITE_WHERE_CLAUSE a\\", "a"),
        ("SQLITE_WHERE_CLAUSE a\r\n", "a"),
        ("MYSQL_WHERE_CLAUSE a\n", ""),
        ("where_clause a\n", ""),
    ],
)
def test_lines(text: str, value: str) -> None:
    assert where(text) == value


def test_clauses_win_over_fields() -> None:
    found = parsed(
        "SQLITE_SELECT_CLAUSE SELECT 1\nSQLITE_ENUMERATE_CLAUSE SELECT 2\n"
        "SQLITE_CHPASS_CLAUSE UPDATE 3\n"
    )
    assert (found.select, found.enumerate, found.update) == ("SELECT 1", "SELECT 2", "UPDATE 3")


def test_a_select_clause_alone_says_not_how_to_list_or_change() -> None:
    found = parsed("SQLITE_SELECT_CLAUSE SELECT 1\n", "")
    assert (found.select, found.enumerate, found.update) == ("SELECT 1", "", "")
    # Another table than the one that is read is never written to.
    assert parsed("SQLITE_SELECT_CLAUSE SELECT 1\n").update == ""


@pytest.mark.parametrize(
    "text",
    ["", "SQLITE_USER_TABLE passwd\n", "DEFAULT_DOMAIN ../x\n" + MINIMAL],
)
def test_what_is_missing_or_wrong(text: str) -> None:
    with pytest.raises(ValueError, match=r"needed|no domain"):
        parse(text, "SQLITE_")


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "authmysqlrc"
    path.write_text("MYSQL_PASSWORD s3cret\nMYSQL_SELECT_CLAUSE SELECT 1\n")
    path.chmod(0o640)
    with capture_logs() as logs:
        found = read(path, "MYSQL_")
    assert found.values["PASSWORD"] == "s3cret"
    assert "s3cret" not in repr(found)
    assert logs == []


def test_a_file_that_everybody_may_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "authsqliterc"
    path.write_text(MINIMAL)
    path.chmod(0o644)
    with capture_logs() as logs:
        read(path, "SQLITE_")
    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_no_file_is_a_temporary_fault(tmp_path: Path) -> None:
    with pytest.raises(MailError) as caught:
        read(tmp_path / "none", "MYSQL_")
    assert caught.value.kind is ErrorKind.TEMPORARY
