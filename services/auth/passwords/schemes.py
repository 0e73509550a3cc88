"""Stored hashes: which scheme one is of, and whether a password fits. Blocking and pure.

Understood, by prefix:
  crypt(3)      $1$ $2a$ $2b$ $2y$ $5$ $6$ $7$ $y$ $gy$ $sha1 $md5, _ext-DES, 13-character DES
  argon2        $argon2i$ $argon2d$ $argon2id$
  libpass       $pbkdf2$ $pbkdf2-sha256$ $pbkdf2-sha512$ $scrypt$ $bcrypt-sha256$
  {SCHEME}data  Courier's and Dovecot's names, any case, with Dovecot's .HEX .B64 .BASE64:
                PLAIN CLEAR CLEARTEXT, CRYPT and *-CRYPT, ARGON2*, MD5 MD5RAW PLAIN-MD5 LDAP-MD5
                SMD5 SHA SHA1 SHA256 SHA384 SHA512 SSHA SSHA256 SSHA512 PBKDF2 PBKDF2-SHA256
                PBKDF2-SHA512 SCRAM-SHA-1 SCRAM-SHA-256 CRAM-MD5
Anything else, such as "!", "*" or "", fits no password. An optional "!" or "*" before a hash
locks it, as in shadow(5).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

import argon2
from passlib.hash import (
    bcrypt_sha256,
    ldap_pbkdf2_sha256,
    ldap_pbkdf2_sha512,
    pbkdf2_sha1,
    pbkdf2_sha256,
    pbkdf2_sha512,
    scrypt,
)

from restante.runtime.libcrypt import crypt
from restante.wire import hmac_state
from services.auth.passwords.scram import prepared

MAX_PASSWORD: Final = 1024  # bytes; longer ones are refused before any hash is computed

_PREFIX: Final = re.compile(r"\{([A-Za-z0-9-]+)(?:\.(HEX|B64|BASE64))?\}", re.IGNORECASE)
_DES: Final = re.compile(r"[./0-9A-Za-z]{13}\Z|_[./0-9A-Za-z]{19}\Z")
_ARGON2: Final = argon2.PasswordHasher()

# Scheme -> (digest, salted)
_DIGESTS: Final = {
    "MD5": ("md5", False),
    "MD5RAW": ("md5", False),
    "PLAIN-MD5": ("md5", False),
    "LDAP-MD5": ("md5", False),
    "SMD5": ("md5", True),
    "SHA": ("sha1", False),
    "SHA1": ("sha1", False),
    "SSHA": ("sha1", True),
    "SHA256": ("sha256", False),
    "SSHA256": ("sha256", True),
    "SHA384": ("sha384", False),
    "SHA512": ("sha512", False),
    "SSHA512": ("sha512", True),
}
_CLEAR: Final = ("PLAIN", "CLEAR", "CLEARTEXT")
_CRYPTS: Final = {
    "CRYPT",
    "DES-CRYPT",
    "MD5-CRYPT",
    "BLF-CRYPT",
    "SHA256-CRYPT",
    "SHA512-CRYPT",
}
_NAMED_CRYPTS: Final = {
    "1": "md5-crypt",
    "2a": "bcrypt",
    "2b": "bcrypt",
    "2x": "bcrypt",
    "2y": "bcrypt",
    "5": "sha256-crypt",
    "6": "sha512-crypt",
    "7": "scrypt-crypt",
    "y": "yescrypt",
    "gy": "gost-yescrypt",
    "sha1": "sha1-crypt",
    "md5": "sunmd5",
}
_LIBPASS: Final = {
    "pbkdf2": pbkdf2_sha1,
    "pbkdf2-sha256": pbkdf2_sha256,
    "pbkdf2-sha512": pbkdf2_sha512,
    "scrypt": scrypt,
    "bcrypt-sha256": bcrypt_sha256,
}


def scheme_of(stored: str) -> str:
    """Return the scheme in lower case ("argon2id", "sha512-crypt", "ssha"...), "" if unknown."""
    check = _recognise(stored)
    return check[0] if check else ""


def verify(stored: str, password: bytes) -> bool:
    """True where `password` fits `stored`. Costs what the scheme costs: run it off the loop.

    Raises MailError(TEMPORARY) where the scheme's library is missing.
    """
    if not password or len(password) > MAX_PASSWORD:
        return False  # an empty password is none, whatever is stored
    found = _recognise(stored)
    return found is not None and found[1](password)


_Check = tuple[str, Callable[[bytes], bool]]


def _recognise(stored: str) -> _Check | None:
    if not stored or not stored.isascii():
        return _braced(stored) if stored.startswith("{") else None
    if stored.startswith("{"):
        return _braced(stored)
    if stored.startswith("$"):
        return _modular(stored)
    if _DES.match(stored):
        return "des-crypt", lambda password: _crypt_fits(stored, password)
    return None


def _modular(stored: str) -> _Check | None:
    name = stored[1:].partition("$")[0].partition(",")[0]
    if name.startswith("argon2"):
        return name, lambda password: _argon2_fits(stored, password)
    if name in _LIBPASS:
        return name, lambda password: _libpass_fits(_LIBPASS[name], stored, password)
    if name in _NAMED_CRYPTS:
        return _NAMED_CRYPTS[name], lambda password: _crypt_fits(stored, password)
    return None


def _braced(stored: str) -> _Check | None:
    match = _PREFIX.match(stored)
    if match is None:
        return None
    name, coding, data = match[1].upper(), (match[2] or "").upper(), stored[match.end() :]
    if name in _CLEAR:
        clear = clear_of(stored)
        return "plain", lambda password: bool(clear) and hmac.compare_digest(clear, password)
    if name.startswith("ARGON2") and data.startswith("$argon2"):
        return _modular(data)
    if name in _CRYPTS or (name == "MD5" and data.startswith("$1$")):
        return _modular(data) if data.startswith("$") else _bare_crypt(data)
    if name in _DIGESTS:
        digest, salted = _DIGESTS[name]
        return name.lower(), lambda password: _digest_fits(digest, salted, data, coding, password)
    if name.startswith("PBKDF2"):
        return _pbkdf2(name, data)
    if name in ("CRAM-MD5", "HMAC-MD5"):
        return "cram-md5", lambda password: _contexts_fit(data, password)
    if name in ("SCRAM-SHA-1", "SCRAM-SHA-256"):
        return name.lower(), lambda password: _scram_fits(name, data, password)
    return None


def _bare_crypt(data: str) -> _Check | None:
    if not _DES.match(data):
        return None
    return "des-crypt", lambda password: _crypt_fits(data, password)


def _pbkdf2(name: str, data: str) -> _Check | None:
    if data.startswith("$1$"):
        return "pbkdf2", lambda password: _dovecot_pbkdf2_fits(data, password)
    if data.startswith("$"):
        return _modular(data)
    handlers = {"PBKDF2-SHA256": ldap_pbkdf2_sha256, "PBKDF2-SHA512": ldap_pbkdf2_sha512}
    handler = handlers.get(name)
    if handler is None:
        return None
    return name.lower(), lambda password: _libpass_fits(handler, f"{{{name}}}{data}", password)


def _crypt_fits(stored: str, password: bytes) -> bool:
    wanted = stored.encode()
    found = crypt(password, wanted)
    return found is not None and hmac.compare_digest(found, wanted)


def _argon2_fits(stored: str, password: bytes) -> bool:
    try:
        return _ARGON2.verify(stored, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _libpass_fits(handler: "object", stored: str, password: bytes) -> bool:
    try:
        return bool(handler.verify(password, stored))  # type: ignore[attr-defined]  # untyped library
    except (ValueError, TypeError):
        return False


def _digest_fits(digest: str, salted: bool, data: str, coding: str, password: bytes) -> bool:
    size = hashlib.new(digest, usedforsecurity=False).digest_size
    raw = _decode(data, coding, 2 * size)
    if raw is None or len(raw) < size or (len(raw) > size and not salted):
        return False
    salt = raw[size:]
    found = hashlib.new(digest, password + salt, usedforsecurity=False).digest()
    return hmac.compare_digest(found, raw[:size])


def _decode(data: str, coding: str, hex_length: int = 0) -> bytes | None:
    """Decode hex or base64; without a named coding, exactly `hex_length` hex digits are hex."""
    try:
        if coding == "HEX" or (not coding and hex_length and _is_hex(data, hex_length)):
            return binascii.unhexlify(data)
        return base64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    except ValueError:
        return None


def _is_hex(data: str, length: int) -> bool:
    return len(data) == length and all(c in "0123456789abcdefABCDEF" for c in data)


def _dovecot_pbkdf2_fits(data: str, password: bytes) -> bool:
    """Dovecot's {PBKDF2}$1$salt$rounds$hex: SHA-1, the salt's text used as it stands."""
    pieces = data.split("$")
    if len(pieces) != 5 or not pieces[3].isdigit() or not 0 < int(pieces[3]) <= 10_000_000:
        return False
    try:
        wanted = binascii.unhexlify(pieces[4])
    except ValueError:
        return False
    found = hashlib.pbkdf2_hmac("sha1", password, pieces[2].encode(), int(pieces[3]), 20)
    return hmac.compare_digest(found, wanted)


def _scram_fits(name: str, data: str, password: bytes) -> bool:
    """rounds,salt,StoredKey,ServerKey; clients prepare the password, so we do (RFC 4013)."""
    digest = "sha1" if name == "SCRAM-SHA-1" else "sha256"
    pieces = data.split(",")
    if len(pieces) != 4 or not pieces[0].isdigit() or not 0 < int(pieces[0]) <= 10_000_000:
        return False
    salt, wanted = _decode(pieces[1], "B64"), _decode(pieces[2], "B64")
    if salt is None or wanted is None:
        return False
    salted = hashlib.pbkdf2_hmac(digest, prepared(password), salt, int(pieces[0]))
    client_key = hmac.digest(salted, b"Client Key", digest)
    return hmac.compare_digest(hashlib.new(digest, client_key).digest(), wanted)


def _contexts_fit(data: str, password: bytes) -> bool:
    """Dovecot's {CRAM-MD5}: HMAC contexts of the password."""
    found = hmac_state.contexts("md5", password)
    return hmac.compare_digest(found.encode(), data.lower().encode("ascii", "replace"))


def clear_of(stored: str) -> bytes:
    """Return the password of a {PLAIN} hash, b"" where it is of another scheme."""
    match = _PREFIX.match(stored)
    if match is None or match[1].upper() not in _CLEAR:
        return b""
    data = stored[match.end() :]
    clear = _decode(data, match[2].upper()) if match[2] else data.encode("utf-8", "surrogateescape")
    return clear or b""
