"""Every stored form that the old world may hold, made by doveadm, crypt(3), openssl and libpass."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import md5

import pytest

from restante.runtime.libcrypt import crypt
from services.auth.passwords.schemes import scheme_of, verify

PASSWORD = "pässword".encode()

CRYPT = {
    "abRy4/6THFs9U": "des-crypt",
    "_J9..rasm3Era0lzguf2": "des-crypt",
    "$1$abcdefgh$6qENbeetgn0exf.OCTQaP0": "md5-crypt",
    "$2y$05$abcdefghijklmnopqrstuucZGbUxuMlEqps0qcu2pjhO7vaatQZIC": "bcrypt",
    "$2a$05$abcdefghijklmnopqrstuucZGbUxuMlEqps0qcu2pjhO7vaatQZIC": "bcrypt",
    "$2b$05$abcdefghijklmnopqrstuucZGbUxuMlEqps0qcu2pjhO7vaatQZIC": "bcrypt",
    "$5$rounds=1000$saltsalt$k0ylRWLHVlBxnL.QHEV.f8gDch7ScqF5//h.mx1WAa9": "sha256-crypt",
    "$6$rounds=1000$saltsalt$GRg0cJEHso4LJZYmvs6cl1YziCrkl3pvdLeF58R.fERGV/fOgD8w6F4Ljko0wttVnHPN"
    ".v.Sy4JUmYierjxw6/": "sha512-crypt",
    "$y$j75$abcdefghijkl$fGXJv.UvG8BW22UxX73cxZ/fMUtuihh9I6Ck5ZLFvtB": "yescrypt",
    "$gy$j75$abcdefghijkl$DzIXe0SeSzZLE5UHq5M1Ce8pYyfSrxqII6Eh/0Kf5t2": "gost-yescrypt",
    "$7$6/..../....SodiumChloride$dCDTcdQ3xZtMakRJY4scUc88LKRDGPBw0WQov7RTdD2": "scrypt-crypt",
    "$sha1$1000$saltsalt$gwqmm48mGVTxUEhP.PAfqWZw9Hn7": "sha1-crypt",
    "$md5,rounds=100$saltsalt$$yA2GReAFBL5XDOhBTJ/gy.": "sunmd5",
}

BRACED = {
    "{CRYPT}$2y$05$fRyY6HTbMXewk/R13uZ8hepr/syUuMZbBijXCHZL4jqVFKo2EGKHS": "bcrypt",
    "{crypt}abRy4/6THFs9U": "des-crypt",
    "{DES-CRYPT}k/HD3ajxNBEuM": "des-crypt",
    "{MD5-CRYPT}$1$DExUnHgI$80jkbrutk9AHCldMDy/ql/": "md5-crypt",
    "{BLF-CRYPT}$2y$05$CvWcVn0JLQF5P9u1NNIMhuhCl0ta4Z4j.XcOS67VyKX7LHrkh1YR2": "bcrypt",
    "{SHA256-CRYPT}$5$LWLzM4bDxWxeN7XW$tpRFqeFQtCTRuR9CpmOw8O26WM61f4vnhrgx50j2zq1": "sha256-crypt",
    "{SHA512-CRYPT}$6$kGOwhgafmFLWl7zo$f8PeheEz5AkwIyuLObIPD6/7NT8esbXKsjHiRSBy6SqUfBRdCOMJI3Bwu0O"
    "p0eaWcaG9p9VDQoikeJLkuqtaa/": "sha512-crypt",
    "{MD5}$1$yRAvjTbr$KP6bkTyYtbEZbEz3..cWz1": "md5-crypt",  # Dovecot's
    "{MD5}jhhDAzoPbuUuL2GKqOu+9A==": "md5",  # Courier's
    "{MD5RAW}8e1843033a0f6ee52e2f618aa8ebbef4": "md5raw",
    "{PLAIN-MD5}8e1843033a0f6ee52e2f618aa8ebbef4": "plain-md5",
    "{LDAP-MD5}jhhDAzoPbuUuL2GKqOu+9A==": "ldap-md5",
    "{SMD5}g/wqPyt/77Sxo8g9mJ5/SHA6/GI=": "smd5",
    "{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=": "sha",
    "{SHA1}I7dElEdfX4dJgLdnbVEeI9iG2mQ=": "sha1",
    "{SHA256}NHgme1YSeRtAmIkGs6eJfrarUB4EuV7TL5nQr99mnZw=": "sha256",
    "{SHA256}NHgme1YSeRtAmIkGs6eJfrarUB4EuV7TL5nQr99mnZw": "sha256",  # padding lost
    "{SHA256.HEX}3478267b5612791b40988906b3a7897eb6ab501e04b95ed32f99d0afdf669d9c": "sha256",
    "{SHA512}KF3icbSeAO9oGc8Ku/AxXpfCXLo2FhZ8dw78Umxki03hH0sA3HH67TOjEse6g2kNPtFKqq32tiKqSJlv8H7Ip"
    "A==": "sha512",
    "{SSHA}RJ0tKq+l1jpl9edi4BvVrifE9dnnZQZy": "ssha",
    "{SSHA256}zeywnx547whFbYm0otp99IvLMdRBXKnJWSK/Kde+MFHRzDpp": "ssha256",
    "{SSHA512}LJnTEfxC0hE6yp9qGpAJYbbZ9rVL3iomhtvVt1CSeJB3DVwo1RjV2uDpSmlMQDxHDvv9tRLe3rZBp9kotD2/"
    "HIgFQ/M=": "ssha512",
    "{PLAIN}pässword": "plain",
    "{CLEARTEXT}pässword": "plain",
    "{PLAIN.B64}cMOkc3N3b3Jk": "plain",
    "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$6yi+azmM8J68IbltYwFPsA$iCLL9/eFgttUZOrWy1XMIbq9o2bXzPsh"
    "7+ZDjzV/Thg": "argon2i",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$z/rdmwKVt4/uc2YSCx2Rtg$VR0uqOc78pFoFnp3GFTFpV6l7e6N6N"
    "O9UPFswsENk6Q": "argon2id",
    "{PBKDF2}$1$3HQl8HrxLy1GWoCD$5000$10a47f4305470d0c8e336d169dd4b621540f31d0": "pbkdf2",
    "{SCRAM-SHA-1}4096,5BqWTe1Cm4xqOK6t4kG2GQ==,1N7KbTRFwShug5OC/BcOUc9NWCw=,gNDMyDm8QI8tr2EA/gkFW"
    "/Cx5s0=": "scram-sha-1",
    "{SCRAM-SHA-256}4096,tuRxfLPgPRsoplt7q6/76Q==,8VYg7s7in5rYa8wDlS9ultB4rDcm+0a2/XT1v/2IzZ8=,9b8"
    "UGFlITSld99OCWdWHdCa81coAvalj+LzEL44CJZg=": "scram-sha-256",
}


@pytest.mark.parametrize(("stored", "scheme"), [*CRYPT.items(), *BRACED.items()])
def test_the_right_password_fits_and_no_other(stored: str, scheme: str) -> None:
    assert scheme_of(stored) == scheme
    assert verify(stored, PASSWORD)
    assert not verify(stored, b"password")
    assert not verify(stored, b"")
    assert not verify(stored, PASSWORD + b"\0more")


@pytest.mark.parametrize(
    "name",
    [
        "pbkdf2_sha1",
        "pbkdf2_sha256",
        "pbkdf2_sha512",
        "scrypt",
        "bcrypt_sha256",
        "ldap_pbkdf2_sha256",
    ],
)
def test_forms_of_libpass(name: str) -> None:
    import passlib.hash

    handler = getattr(passlib.hash, name)
    stored = handler.using(rounds=handler.min_rounds or 1).hash(PASSWORD)
    assert verify(stored, PASSWORD)
    assert not verify(stored, b"other")


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "!",
        "*",
        "!!",
        "x",
        "*0",
        "*1",
        "*NP*",
        "!$1$abcdefgh$6qENbeetgn0exf.OCTQaP0",
        "{NOSUCH}abc",
        "{SHA}",
        "{SHA}!!!",
        "{SHA}AAAA",
        "{SSHA}AAAA",
        "{PLAIN",
        "{}x",
        "$",
        "$9$salt$x",
        "$1$",
        "$6$rounds=1000$saltsalt",
        "$argon2id$",
        "$argon2id$v=19$m=64,t=1,p=1$AAAA",
        "$2b$99$abcdefghijklmnopqrstuucZGbUxuMlEqps0qcu2pjhO7vaatQZIC",
        "{PBKDF2}$1$salt$999999999999$00",
        "{PBKDF2}$1$salt$0$00",
        "{PBKDF2-SHA256}junk",
        "{SCRAM-SHA-256}4096,x",
        "{CRYPT}*0",
        "\udcff",
    ],
)
def test_nothing_fits_what_is_no_hash(stored: str) -> None:
    for password in (b"", b"x", PASSWORD, stored.encode("utf-8", "replace")):
        assert not verify(stored, password)


def test_an_empty_password_never_fits() -> None:
    for stored in (
        "{PLAIN}",
        "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        "{MD5RAW}" + md5(b"").hexdigest(),
    ):
        assert scheme_of(stored)
        assert not verify(stored, b"")
        assert not verify(stored, b"x")


def test_overlong_passwords_are_refused_before_any_work() -> None:
    assert not verify("{PLAIN}" + "x" * 2000, b"x" * 2000)


def test_libcrypt_does_not_know_a_nul() -> None:
    assert crypt(b"a\0b", b"$1$abcdefgh$") is None
    assert crypt(b"a", b"") is None


def test_threads_do_not_meet_in_libcrypt() -> None:
    settings = [s for s in CRYPT if s.startswith(("$1$", "$5$", "$6$"))] * 30
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda s: crypt(PASSWORD, s.encode()) == s.encode(), settings))
