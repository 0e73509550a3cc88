"""HMAC with the key half-eaten: what Courier's userdb keeps for CRAM in place of a password.

HMAC (RFC 2104) hashes the key, padded to a block of 64 bytes and xored with a constant, before the
inner and before the outer message. The states of the hash after that one block are enough to
answer challenges: Courier stores the hex of the outer state, then the inner, each of the digest's
size (`userdbpw -hmac-md5`, fields `hmac-md5pw`, `imap-hmac-md5pw`...). They are as good as the
password to an attacker of CRAM, but do not tell it.

hashlib cannot begin from a state, so the compression functions of MD5 (RFC 1321), SHA-1 and
SHA-256 (FIPS 180-4) stand here; a message is some blocks only, at tens of microseconds each.
"""

import hashlib
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_BLOCK: Final = 64
_M: Final = 0xFFFFFFFF

_State = tuple[int, ...]


def _rotl(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & _M


def _rotr(value: int, by: int) -> int:
    return (value >> by | value << (32 - by)) & _M


def _add(one: _State, other: _State) -> _State:
    return tuple((a + b) & _M for a, b in zip(one, other, strict=True))


_MD5_SINES: Final = [int(abs(math.sin(i + 1)) * 2**32) & _M for i in range(64)]
_MD5_SHIFTS: Final = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))


def _md5(state: _State, block: bytes) -> _State:
    words = struct.unpack("<16I", block)
    a, b, c, d = state
    for i in range(64):
        if i < 16:
            mixed, at = (b & c) | (~b & d), i
        elif i < 32:
            mixed, at = (d & b) | (~d & c), (5 * i + 1) % 16
        elif i < 48:
            mixed, at = b ^ c ^ d, (3 * i + 5) % 16
        else:
            mixed, at = c ^ (b | (~d & _M)), 7 * i % 16
        turned = _rotl(
            (a + (mixed & _M) + _MD5_SINES[i] + words[at]) & _M, _MD5_SHIFTS[i // 16][i % 4]
        )
        a, b, c, d = d, (b + turned) & _M, b, c
    return _add(state, (a, b, c, d))


def _sha1(state: _State, block: bytes) -> _State:
    words = list(struct.unpack(">16I", block))
    for i in range(16, 80):
        words.append(_rotl(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1))
    a, b, c, d, e = state
    for i, word in enumerate(words):
        if i < 20:
            mixed, constant = (b & c) | (~b & d), 0x5A827999
        elif i < 40:
            mixed, constant = b ^ c ^ d, 0x6ED9EBA1
        elif i < 60:
            mixed, constant = (b & c) | (b & d) | (c & d), 0x8F1BBCDC
        else:
            mixed, constant = b ^ c ^ d, 0xCA62C1D6
        a, b, c, d, e = (_rotl(a, 5) + mixed + e + constant + word) & _M, a, _rotl(b, 30), c, d
    return _add(state, (a, b, c, d, e))


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _cube_root_fraction(number: int) -> int:
    """Return the first 32 bits of the fraction of a cube root."""
    low, high = 0, 1 << 40
    wanted = number << 96
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= wanted else (low, middle)
    return low & _M


_SHA256_CONSTANTS: Final = [_cube_root_fraction(prime) for prime in _primes(64)]
_SHA256_START: Final = tuple(math.isqrt(prime << 64) & _M for prime in _primes(8))


def _sha256(state: _State, block: bytes) -> _State:
    words = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        x, y = words[i - 15], words[i - 2]
        low = _rotr(x, 7) ^ _rotr(x, 18) ^ x >> 3
        high = _rotr(y, 17) ^ _rotr(y, 19) ^ y >> 10
        words.append((words[i - 16] + low + words[i - 7] + high) & _M)
    a, b, c, d, e, f, g, h = state
    for word, constant in zip(words, _SHA256_CONSTANTS, strict=True):
        one = _rotr(e, 6) ^ _rotr(e, 11) ^ _rotr(e, 25)
        one = (h + one + ((e & f) ^ (~e & g)) + constant + word) & _M
        two = (_rotr(a, 2) ^ _rotr(a, 13) ^ _rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
        a, b, c, d, e, f, g, h = (one + two) & _M, a, b, c, (d + one) & _M, e, f, g
    return _add(state, (a, b, c, d, e, f, g, h))


@dataclass(frozen=True, slots=True)
class _Hash:
    compress: Callable[[_State, bytes], _State]
    start: _State
    order: str  # of bytes: "<" or ">"

    def pack(self, state: _State) -> bytes:
        return struct.pack(f"{self.order}{len(state)}I", *state)

    def unpack(self, data: bytes) -> _State:
        return struct.unpack(f"{self.order}{len(self.start)}I", data)

    def finish(self, state: _State, message: bytes) -> bytes:
        """Return the digest of a message that follows one block which led to `state`."""
        bits = (_BLOCK + len(message)) * 8
        padded = message + b"\x80" + bytes((-len(message) - 9) % _BLOCK)
        padded += struct.pack(f"{self.order}Q", bits)
        for start, end in pairwise(range(0, len(padded) + 1, _BLOCK)):
            state = self.compress(state, padded[start:end])
        return self.pack(state)


_SHA1_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_HASHES: Final = {
    "md5": _Hash(_md5, _SHA1_START[:4], "<"),
    "sha1": _Hash(_sha1, _SHA1_START, ">"),
    "sha256": _Hash(_sha256, _SHA256_START, ">"),
}
NAMES: Final = tuple(_HASHES)


def contexts(name: str, key: bytes) -> str:
    """Return the hex of the outer and the inner state of HMAC-`name` (md5, sha1, sha256)."""
    used = _HASHES[name]
    if len(key) > _BLOCK:
        key = hashlib.new(name, key, usedforsecurity=False).digest()
    key = key.ljust(_BLOCK, b"\0")
    outer, inner = (
        used.pack(used.compress(used.start, bytes(byte ^ pad for byte in key)))
        for pad in (0x5C, 0x36)
    )
    return (outer + inner).hex()


def digest(name: str, stored: str, message: bytes) -> bytes:
    """Return HMAC-`name` of a message from stored contexts. Raises ValueError for bad ones."""
    used = _HASHES[name]
    data = bytes.fromhex(stored)
    size = 4 * len(used.start)
    if len(data) != 2 * size:
        raise ValueError("contexts of another length")
    outer, inner = used.unpack(data[:size]), used.unpack(data[size:])
    return used.finish(outer, used.finish(inner, message))
