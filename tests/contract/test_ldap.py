"""The module ldap against Debian's slapd: look-ups, passwords, changes, listing."""

import subprocess
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError, Quota
from restante.rpc.client import AuthClient
from services.auth.backends.base import Check, PasswordChange, Record
from services.auth.backends.ldap import LdapBackend
from services.auth.mechanisms.base import Attempt
from services.auth.names import Login, NameRules
from tests.contract.slapd import ADMIN, ADMIN_PASSWORD, SUFFIX, Slapd, person, running_slapd
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.process import auth_process

RULES = NameRules()
SECRET = "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0"  # of "secret"
PEOPLE = "".join(
    (
        person("fred", userPassword=SECRET, quota="1000S,5C"),
        person("clear", clearPassword="in clear", userPassword="{CRYPT}!"),
        person("opts", disableImap="1", sharedGroup=["a", "b,administrators=1"], cn="Opts, Room 5"),
        person("far", homeDirectory="far", mailbox="./Box"),
        person("box", mailbox="/elsewhere/box"),
        person("rooty", uidNumber="0"),
        person("homeless", homeDirectory="relative"),
        person("many", mail=["many@isp.test", "alias@isp.test"]),
        person("one", mail="twice@isp.test"),
        person("two", mail="twice@isp.test"),
        person("mapped", mail="cc2233", handle="h-7"),
        person("sub", mail="sub@isp.test", userPassword="{SASL}x"),
        person("über", mail="ueber@isp.test"),
    )
)


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with running_slapd(PEOPLE) as server:
        yield server


def rc(uri: str, **changes: str | None) -> str:
    """Return an authldaprc; None leaves a line out."""
    lines: dict[str, str | None] = {
        "URI": uri,
        "PROTOCOL_VERSION": "3",
        "BASEDN": SUFFIX,
        "BINDDN": ADMIN,
        "BINDPW": ADMIN_PASSWORD,
        "TIMEOUT": "5",
        "INITBIND": "1",
        "MAIL": "mail",
        "FILTER": "(objectClass=mailUser)",
        "HOMEDIR": "homeDirectory",
        "MAILDIR": "mailbox",
        "DEFAULTDELIVERY": "defaultDelivery",
        "MAILDIRQUOTA": "quota",
        "FULLNAME": "cn",
        "CLEARPW": "clearPassword",
        "CRYPTPW": "userPassword",
        "UID": "uidNumber",
        "GID": "gidNumber",
        "AUXOPTIONS": "disableImap=disableimap,sharedGroup=group",
        "DEREF": "never",
        "TLS": "0",
        **changes,
    }
    text = "".join(f"LDAP_{k}\t\t{v}  \n" for k, v in lines.items() if v is not None)
    return f"##VERSION: x\n#\n# LDAP_MAIL wrong\n\n{text}\n##NAME: MARKER:0\n#\n"


Make = Callable[..., Awaitable[LdapBackend]]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def run(text: str, rules: NameRules = RULES, **settings: Any) -> LdapBackend:
            path = tmp_path / "authldaprc"
            path.write_text(text)
            path.chmod(0o600)
            made = LdapBackend(make_settings(tmp_path, ldaprc=path, **settings), rules)
            stack.push_async_callback(made.close)
            return made

        yield run


def login(text: str, rules: NameRules = RULES) -> Login:
    return rules.parse(text)


async def found(backend: LdapBackend, text: str) -> Record:
    record = await backend.find(login(text))
    assert record is not None
    return record


async def temporary(work: Awaitable[object]) -> str:
    with pytest.raises(MailError) as caught:
        await work
    assert caught.value.kind is ErrorKind.TEMPORARY
    return caught.value.text


async def test_an_entry_becomes_an_account(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri))
    await backend.open()
    record = await found(backend, "Fred@ISP.test")
    account = record.account
    assert (account.address, account.uid, account.gid) == ("fred@isp.test", 2000, 2001)
    assert (account.home, account.maildir) == (Path("/mail/fred"), Path("/mail/fred/Maildir"))
    assert account.name == "Fred"
    assert account.quota == Quota(1000, 5)
    assert record.password.startswith("{SSHA}")
    assert not record.checks
    assert await backend.find(login("nobody@isp.test")) is None


async def test_over_a_unix_socket(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.ldapi))
    assert (await found(backend, "fred@isp.test")).account.uid == 2000


async def test_options_and_paths(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, MAILROOT="/var/mail"))
    options = (await found(backend, "opts@isp.test")).account.options
    assert options.enabled("disableimap")
    assert sorted(options.all("group")) == ["a", "b"]  # no option by way of a comma
    far = (await found(backend, "far@isp.test")).account
    assert (far.home, far.maildir) == (Path("/var/mail/far"), Path("/var/mail/far/Box"))
    box = (await found(backend, "box@isp.test")).account
    assert box.maildir == Path("/elsewhere/box")


async def test_ids_of_everybody(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, UID=None, GID=None, GLOB_UID="daemon", GLOB_GID="77"))
    account = (await found(backend, "rooty@isp.test")).account
    assert (account.uid, account.gid) == (1, 77)


@pytest.mark.parametrize("name", ["rooty", "homeless"])
async def test_an_entry_that_is_no_account_is_a_fault(slapd: Slapd, make: Make, name: str) -> None:
    backend = await make(rc(slapd.uri))
    await temporary(backend.find(login(f"{name}@isp.test")))


async def test_an_account_that_is_there_twice_is_a_fault(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri))
    await temporary(backend.find(login("twice@isp.test")))


@pytest.mark.parametrize("name", ["*", "*@isp.test", "fre*", "fre*@isp.test", "f*@isp.test"])
async def test_a_name_cannot_change_the_filter(slapd: Slapd, make: Make, name: str) -> None:
    backend = await make(rc(slapd.uri))
    assert await backend.find(login(name)) is None


@pytest.mark.parametrize(
    "name", ["*)(uid=*", "fred@isp.test)(uid=*", "a\\2a", "x\0y", "*)(|(uid=*"]
)
async def test_hostile_names_that_get_past_the_rules(slapd: Slapd, make: Make, name: str) -> None:
    backend = await make(rc(slapd.uri))
    assert await backend.find(Login(name, name, "")) is None
    assert await backend.find(Login(name, name, "isp.test")) is None
    mapped = await make(rc(slapd.uri, EMAILMAP="(&(uid=@user@)(objectClass=@realm@))"))
    assert await mapped.find(Login(name, name, "person")) is None


async def test_the_names_would_get_through_without_the_escape(
    slapd: Slapd, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The known-bad variant of the two tests above."""
    monkeypatch.setattr("restante.wire.ldap.filter.escape", str)
    backend = await make(rc(slapd.uri))
    assert await backend.find(login("fre*@isp.test"))
    hostile = "*)(uid=fred"
    assert await backend.find(Login(hostile, hostile, ""))


async def test_the_domain_of_the_directory(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, DOMAIN="ISP.test"))
    assert (await found(backend, "fred")).account.address == "fred@isp.test"


async def test_a_handle_between_address_and_account(slapd: Slapd, make: Make) -> None:
    backend = await make(
        rc(
            slapd.uri,
            EMAILMAP="(&(uid=@user@)(objectClass=@realm@))",
            EMAILMAP_BASEDN=f"ou=people,{SUFFIX}",
            EMAILMAP_ATTRIBUTE="handle",
            EMAILMAP_MAIL="handle",
        )
    )
    record = await found(backend, "mapped@mailuser")
    assert record.account.address == "mapped@mailuser"
    assert record.account.home == Path("/mail/mapped")
    assert await backend.find(login("nobody@mailuser")) is None
    assert await backend.find(login("fred@mailuser")) is None  # no handle


async def test_passwords_are_compared_or_clear(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri))
    record = await found(backend, "clear@isp.test")
    assert (record.clear, record.password) == ("in clear", "{PLAIN}in clear")
    assert (await found(backend, "box@isp.test")).password == ""
    assert (await found(backend, "sub@isp.test")).password == "{SASL}x"


def check(password: bytes) -> Check:
    return Check(password, "imap")


async def test_binding_as_the_user(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, AUTHBIND="1", INITBIND="0", BINDDN=None, BINDPW=None))
    record = await found(backend, "fred@isp.test")
    assert record.checks
    assert record.password == record.clear == ""
    for _ in range(3):  # a kept connection changes its identity back and forth
        assert await backend.check(login("fred@isp.test"), record, check(b"secret"))
        assert not await backend.check(login("fred@isp.test"), record, check(b"wrong"))
    assert not await backend.check(login("fred@isp.test"), record, check(b"\xff\xfe"))


async def test_an_empty_password_is_never_bound(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, AUTHBIND="1"))
    record = await found(backend, "fred@isp.test")
    assert not await backend.check(login("fred@isp.test"), record, check(b""))
    # What it would have been: slapd lets anybody in who names a DN and no password.
    done = subprocess.run(
        ["ldapwhoami", "-x", "-H", slapd.uri, "-D", f"uid=fred,ou=people,{SUFFIX}", "-w", ""],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0


async def test_an_entry_without_a_password_fits_none(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, AUTHBIND="1"))
    record = await found(backend, "box@isp.test")
    assert not await backend.check(login("box@isp.test"), record, check(b"x"))


@pytest.mark.parametrize(
    "change",
    [
        {"BASEDN": "o=nowhere"},
        {"BASEDN": f"ou=gone,{SUFFIX}"},
        {"BASEDN": "not a dn"},
        {"BINDPW": "wrong"},
        {"BINDPW": None},
        {"FILTER": "(objectClass=mailUser"},
        {"URI": "http://127.0.0.1"},
        {"URI": None},
        {"DEREF": "sometimes"},
        {"GLOB_UID": "no-such-user"},
        {"AUXOPTIONS": "disableImap"},
        {"TLS": "1"},  # this server has no certificate
    ],
)
async def test_a_wrong_configuration_is_a_temporary_failure(
    slapd: Slapd, make: Make, change: dict[str, str | None]
) -> None:
    backend = await make(rc(slapd.uri, **change))
    await temporary(backend.find(login("fred@isp.test")))
    await temporary(backend.find(login("nobody@isp.test")))


async def test_no_file_is_a_temporary_failure(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, ldaprc=tmp_path / "missing")
    await temporary(LdapBackend(settings, RULES).find(login("fred@isp.test")))


async def test_a_changed_file_counts_and_a_broken_one_does_not(
    slapd: Slapd, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.auth.backends.ldap._LOOK_SECONDS", 0.0)
    backend = await make(rc(slapd.uri))
    assert (await found(backend, "fred@isp.test")).account.home == Path("/mail/fred")
    (tmp_path / "authldaprc").write_text("LDAP_URI nonsense\n")
    assert (await found(backend, "fred@isp.test")).account.home == Path("/mail/fred")
    (tmp_path / "authldaprc").write_text(rc(slapd.uri, MAILROOT="/srv"))
    assert (await found(backend, "fred@isp.test")).account.home == Path("/srv/mail/fred")


async def test_the_password_of_the_file_may_be_a_setting(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, BINDPW="wrong"), ldap_bindpw=ADMIN_PASSWORD)
    assert await backend.find(login("fred@isp.test"))


def change(new: bytes, old: bytes = b"") -> PasswordChange:
    return PasswordChange(new, "$argon2id$v=19$stored", old)


async def test_a_password_is_changed_as_the_user(slapd: Slapd, make: Make) -> None:
    slapd.add(person("self", userPassword="old one"))
    backend = await make(rc(slapd.uri, AUTHBIND="1", INITBIND="0"))
    me = login("self@isp.test")
    assert await backend.set_password(me, change(b"new one", b"old one"))
    record = await found(backend, "self@isp.test")
    assert await backend.check(me, record, check(b"new one"))
    assert not await backend.check(me, record, check(b"old one"))
    assert slapd.value("self", "userPassword").startswith("{SSHA}")  # the server's own hash
    with pytest.raises(MailError) as caught:  # nobody but he may
        await backend.set_password(me, change(b"taken over"))
    assert caught.value.kind is ErrorKind.CANNOT
    assert await backend.check(me, record, check(b"new one"))


async def test_an_administrator_sets_a_password_where_users_bind(slapd: Slapd, make: Make) -> None:
    slapd.add(person("byadmin", userPassword="old one"))
    backend = await make(rc(slapd.uri, AUTHBIND="1"))
    me = login("byadmin@isp.test")
    assert await backend.set_password(me, change(b"new one"))
    assert await backend.check(me, await found(backend, "byadmin@isp.test"), check(b"new one"))


async def test_a_password_is_changed_as_the_binddn(slapd: Slapd, make: Make) -> None:
    from services.auth.passwords import schemes

    slapd.add(person("hashed", userPassword=SECRET))
    slapd.add(person("both", userPassword="{CRYPT}x", clearPassword="old one"))
    backend = await make(rc(slapd.uri))
    assert await backend.set_password(login("hashed@isp.test"), change(b"new one", b"secret"))
    record = await found(backend, "hashed@isp.test")
    assert record.password.startswith("{CRYPT}$6$")
    assert schemes.verify(record.password, b"new one")
    assert await backend.set_password(login("both@isp.test"), change(b"new one", b"old one"))
    record = await found(backend, "both@isp.test")
    assert record.clear == "new one"
    assert slapd.value("both", "userPassword").startswith("{CRYPT}$6$")
    # slapd itself understands what was stored.
    binding = await make(rc(slapd.uri, AUTHBIND="1"))
    bound = await found(binding, "hashed@isp.test")
    assert await binding.check(login("hashed@isp.test"), bound, check(b"new one"))


async def test_argon2_where_it_is_asked_for(slapd: Slapd, make: Make) -> None:
    slapd.add(person("argon", userPassword="{CRYPT}x"))
    backend = await make(rc(slapd.uri), ldap_password_scheme="argon2id")
    assert await backend.set_password(login("argon@isp.test"), change(b"new one"))
    assert slapd.value("argon", "userPassword") == "{ARGON2}$argon2id$v=19$stored"


async def test_no_password_to_change(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri))
    assert not await backend.set_password(login("nobody@isp.test"), change(b"new one"))
    assert not await backend.set_password(login("box@isp.test"), change(b"new one"))


async def test_listing(slapd: Slapd, make: Make) -> None:
    backend = await make(
        rc(slapd.uri, ENUMERATE_FILTER="(|(uid=fred)(uid=rooty)(uid=many))"), ldap_page=1
    )
    listed = {record.account.address async for record in backend.records()}
    assert listed == {"fred@isp.test", "many@isp.test"}


@pytest.mark.slow
async def test_a_long_list_takes_constant_memory(make: Make) -> None:
    """The server's limit of 500 entries for one answer holds for all but LDAP_BINDDN."""
    many = 5000
    with running_slapd("".join(person(f"u{n}") for n in range(many))) as server:
        backend = await make(rc(server.uri), ldap_page=100)
        assert len([None async for _ in backend.records()]) == many  # names are now cached
        tracemalloc.start()
        try:
            count = early = 0
            async for _ in backend.records():
                count += 1
                if count == 500:
                    early = tracemalloc.get_traced_memory()[1]
            late = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert count == many
        assert late < early + 500_000

        cut_short = await make(rc(server.uri, INITBIND="0"), ldap_page=100)
        listed = []

        async def run() -> None:
            async for record in cut_short.records():
                listed.append(record)

        await temporary(run())
        assert 0 < len(listed) <= 500


async def test_an_alias_is_its_owner(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri))
    for name in ("many@isp.test", "ALIAS@isp.test"):
        assert (await found(backend, name)).account.address == "many@isp.test"


async def test_the_own_domain_names_an_account(slapd: Slapd, make: Make) -> None:
    names = ["home@elsewhere.test", "local@isp.test", "also@isp.test"]
    slapd.add(person("three", mail=names))
    rules = NameRules("isp.test")
    for backend in (await make(rc(slapd.uri), rules), await make(rc(slapd.uri, DOMAIN="isp.test"))):
        for name in names:
            record = await backend.find(rules.parse(name))
            assert record is not None
            assert record.account.address == "local@isp.test"


async def test_nobody_becomes_another_by_naming_himself_so(slapd: Slapd, make: Make) -> None:
    slapd.add(person("victim") + person("thief", mail=["victim@isp.test", "thief@isp.test"]))
    backend = await make(rc(slapd.uri))
    await temporary(backend.find(login("thief@isp.test")))
    hidden = await make(rc(slapd.uri, FILTER="(!(uid=thief))"))
    assert (await found(hidden, "victim@isp.test")).account.home == Path("/mail/victim")


async def test_listing_ends_with_a_fault_where_an_entry_is_broken(slapd: Slapd, make: Make) -> None:
    backend = await make(rc(slapd.uri, ENUMERATE_FILTER="(|(uid=fred)(uid=homeless))"))
    listed = []

    async def run() -> None:
        async for record in backend.records():
            listed.append(record.account.address)

    await temporary(run())
    assert listed == ["fred@isp.test"]


async def test_aliases_are_followed_where_the_file_says_so(slapd: Slapd, make: Make) -> None:
    slapd.add(
        f"dn: ou=aliases,{SUFFIX}\nobjectClass: organizationalUnit\nou: aliases\n\n"
        f"dn: uid=other,ou=aliases,{SUFFIX}\nobjectClass: alias\nobjectClass: extensibleObject\n"
        f"uid: other\naliasedObjectName: uid=fred,ou=people,{SUFFIX}\n\n"
    )
    base = f"ou=aliases,{SUFFIX}"
    assert await (await make(rc(slapd.uri, BASEDN=base))).find(login("fred@isp.test")) is None
    backend = await make(rc(slapd.uri, BASEDN=base, DEREF="always"))
    assert await backend.find(login("fred@isp.test"))


async def test_a_referral_is_a_fault_unless_it_is_to_be_ignored(make: Make) -> None:
    elsewhere = (
        f"dn: ou=away,{SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\n"
        "ou: away\nref: ldap://elsewhere.test/o=away\n\n"
    )
    with running_slapd(elsewhere + person("fred")) as server:
        backend = await make(rc(server.uri))
        assert await backend.find(login("fred@isp.test"))
        await temporary(backend.find(login("nobody@isp.test")))
        await temporary(_listed(backend))  # some accounts may be there
        backend = await make(rc(server.uri), ldap_ignore_referrals=True)
        assert await backend.find(login("nobody@isp.test")) is None
        assert await _listed(backend) == ["fred@isp.test"]


async def _listed(backend: LdapBackend) -> list[str]:
    return [record.account.address async for record in backend.records()]


async def test_logins_end_to_end(slapd: Slapd, make: Make, tmp_path: Path) -> None:
    """Through the whole service: nothing is remembered of a directory that others change."""
    slapd.add(person("whole", userPassword=SECRET))
    (tmp_path / "rc").write_text(rc(slapd.uri))
    (tmp_path / "rc").chmod(0o600)
    settings = make_settings(tmp_path, ldaprc=tmp_path / "rc", modules=("ldap",))
    async with serving(settings) as server:
        client = AuthClient(str(settings.listen))
        account = await client.authenticate("whole@isp.test", "secret", service="imap", peer="")
        assert account.home == Path("/mail/whole")
        slapd.modify(
            f"dn: uid=whole,ou=people,{SUFFIX}\nchangetype: modify\n"
            "replace: userPassword\nuserPassword: {PLAIN}other\n"
        )
        for password in ("secret", "", "wrong"):
            with pytest.raises(MailError) as caught:
                await client.authenticate("whole@isp.test", password, service="imap", peer="")
            assert caught.value.kind is ErrorKind.AUTH_FAILED
        await client.authenticate("whole@isp.test", "other", service="imap", peer="")
        login_ = server.rules.parse("whole@isp.test")
        attempt = Attempt(login_.address, b"other", "imap")
        admission = await server.authenticator.authenticate(attempt)
        assert not admission.match.reusable
        with pytest.raises(MailError) as caught:
            await client.lookup("nobody@isp.test")
        assert caught.value.kind is ErrorKind.NO_SUCH_USER
        await client.close()


@pytest.mark.slow
async def test_in_a_process_of_its_own(slapd: Slapd, tmp_path: Path) -> None:
    """As operators run it."""
    (tmp_path / "rc").write_text(rc(slapd.uri, AUTHBIND="1"))
    data = tmp_path / "data"
    data.mkdir()
    settings = {"RESTANTE_AUTH_MODULES": "authldap", "RESTANTE_AUTH_LDAPRC": str(tmp_path / "rc")}
    with auth_process(data, **settings) as process:
        client = AuthClient(process.target)
        account = await client.authenticate("fred@isp.test", "secret", service="imap", peer="")
        assert account.home == Path("/mail/fred")
        with pytest.raises(MailError) as caught:
            await client.authenticate("fred@isp.test", "wrong", service="imap", peer="")
        assert caught.value.kind is ErrorKind.AUTH_FAILED
        await client.close()
        assert "secret" not in process.log()
        assert ADMIN_PASSWORD not in process.log()
