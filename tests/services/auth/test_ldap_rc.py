"""authldaprc: Courier's format and defaults. What they do: tests/contract/test_ldap.py."""

from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from restante.wire.ldap.message import Deref
from services.auth.backends import ldap_rc
from services.auth.backends.ldap_connection import ServerAddress
from services.auth.backends.ldap_rc import LdapConfig

LEAST = "LDAP_URI ldap://a.test\nLDAP_BASEDN o=x\n"


def read(tmp_path: Path, text: str, bind_password: str = "") -> LdapConfig:
    path = tmp_path / "authldaprc"
    path.write_text(text)
    path.chmod(0o600)
    return ldap_rc.read(path, bind_password)


def test_what_is_missing_has_couriers_default(tmp_path: Path) -> None:
    config = read(tmp_path, LEAST)
    assert config.servers == (ServerAddress("ldap", "a.test", 389),)
    assert (config.attributes.mail, config.attributes.home) == ("mail", "homeDir")
    assert (config.timeout, config.version, config.deref) == (5.0, 3, Deref.NEVER)
    switches = config.auth_bind, config.start_tls, config.bind_dn, config.email_map
    assert not any(switches)


def test_lines(tmp_path: Path) -> None:
    text = (
        "# LDAP_MAIL no\n##NAME: x:0\n\nLDAP_MAIL \t a  \r\nLDAP_MAIL\tb\nLDAP_FULLNAME\nnonsense\n"
    )
    config = read(tmp_path, LEAST + text)
    assert config.attributes.mail == "a"
    assert config.attributes.name == ""


def test_values_may_have_spaces(tmp_path: Path) -> None:
    text = "LDAP_INITBIND 1\nLDAP_BINDDN cn=a b, o=x\nLDAP_BINDPW  two  words \n"
    config = read(tmp_path, LEAST + text)
    assert (config.bind_dn, config.bind_password) == ("cn=a b, o=x", "two  words")


def test_without_initbind_nobody_binds(tmp_path: Path) -> None:
    config = read(tmp_path, LEAST + "LDAP_BINDDN cn=a\nLDAP_BINDPW b\n")
    assert config.bind_dn == config.bind_password == ""


@pytest.mark.parametrize(
    ("uris", "wanted"),
    [
        ("ldap://a, ldaps://b", ["ldap://a:389", "ldaps://b:636"]),
        (
            "ldap://a,ldap://b:3890  ldap://[::1]",
            ["ldap://a:389", "ldap://b:3890", "ldap://[::1]:389"],
        ),
        ("ldapi://%2Frun%2Fldapi", ["ldapi:///run/ldapi"]),
        ("ldaps://a:1636/", ["ldaps://a:1636"]),
    ],
)
def test_servers(tmp_path: Path, uris: str, wanted: list[str]) -> None:
    config = read(tmp_path, f"LDAP_URI {uris}\nLDAP_BASEDN o=x\n")
    assert [str(server) for server in config.servers] == wanted


def test_filters(tmp_path: Path) -> None:
    config = read(tmp_path, LEAST)
    assert config.account_filter("mail", "a*b") == "(&(mail=a\\2ab))"
    assert config.all_filter() == "(&(mail=*))"
    config = read(tmp_path, LEAST + "LDAP_FILTER x=1\nLDAP_ENUMERATE_FILTER (a=b)(c=d)\n")
    assert config.account_filter("mail", "a") == "(&(x=1)(mail=a))"
    assert config.all_filter() == "(&(a=b)(c=d)(mail=*))"


def test_handles(tmp_path: Path) -> None:
    config = read(tmp_path, LEAST + "LDAP_EMAILMAP (&(u=@user@)(r=@realm@)(m=\\40@user@))\n")
    assert config.email_map is not None
    assert config.email_map.base == "o=x"
    assert (config.email_map.attribute, config.email_map.key) == ("handle", "mail")
    found = config.email_map.filter("@realm@", "x)(y=*")
    assert found == "(&(u=@realm@)(r=x\\29\\28y=\\2a)(m=\\40@realm@))"


@pytest.mark.parametrize(
    "line",
    [
        "LDAP_INITBIND 1",
        "LDAP_INITBIND 1\nLDAP_BINDDN cn=x",
        "LDAP_TLS yes",
        "LDAP_TIMEOUT soon",
        "LDAP_PROTOCOL_VERSION 4",
        "LDAP_DEREF perhaps",
        "LDAP_MAIL a)(b",
        "LDAP_FILTER (a=b",
        "LDAP_EMAILMAP (a=@user@",
        "LDAP_AUXOPTIONS a",
        "LDAP_AUXOPTIONS a b=c",
        "LDAP_GLOB_UID nobody-of-that-name",
        "LDAP_GLOB_GID nobody-of-that-name",
    ],
)
def test_a_wrong_line_is_a_temporary_failure(tmp_path: Path, line: str) -> None:
    with pytest.raises(MailError) as caught:
        read(tmp_path, f"{LEAST}{line}\n")
    assert caught.value.kind is ErrorKind.TEMPORARY


@pytest.mark.parametrize("uri", ["", "a.test", "http://a", "ldap://", "ldap://u:p@a", "ldap://a:b"])
def test_what_is_no_server(tmp_path: Path, uri: str) -> None:
    with pytest.raises(MailError):
        read(tmp_path, f"LDAP_URI {uri}\nLDAP_BASEDN o=x\n")


@pytest.mark.parametrize("line", LEAST.splitlines())
def test_what_is_needed(tmp_path: Path, line: str) -> None:
    with pytest.raises(MailError):
        read(tmp_path, LEAST.replace(line, ""))


def test_passwords_are_not_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = LEAST + "LDAP_INITBIND 1\nLDAP_BINDDN cn=a\nLDAP_BINDPW wilma\n"
    assert "wilma" not in repr(read(tmp_path, text))
    with pytest.raises(MailError):
        read(tmp_path, text + "LDAP_TLS wilma\n")
    assert "wilma" not in "".join(capfd.readouterr())


def test_a_file_that_anybody_may_read_is_complained_about(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "authldaprc"
    path.write_text(LEAST + "LDAP_NEW x\n")
    path.chmod(0o644)
    ldap_rc.read(path)
    text = "".join(capfd.readouterr())
    assert "everybody may read" in text
    assert "LDAP_NEW" in text
