"""HMAC from stored states: against hashlib, and against what Courier's userdbpw prints."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.wire.hmac_state import NAMES, contexts, digest

# What userdbpw -hmac-* of Debian 12 makes of "secret".
COURIER = {
    "md5": "cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56",
    "sha1": "091e0f4c6cb5277ee2beb639a60d0831b5c8adcdaee172433df3e96ba4f00fb1b6a490c3929d2034",
    "sha256": (
        "5a84072aab37d22275b139adf7a92564c7f674be98e77d991f6f689d29e05245"
        "72804f31b042016804d3dea2f4e991a21b1c8906be161594b202fb74afc8ceb3"
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_as_courier_stores_them(name: str) -> None:
    assert contexts(name, b"secret") == COURIER[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 200])
def test_around_the_ends_of_blocks(name: str, length: int) -> None:
    message = bytes(range(length))
    assert digest(name, contexts(name, message), message) == hmac.digest(message, message, name)


@given(st.sampled_from(NAMES), st.binary(), st.binary())
def test_as_hashlib_has_it(name: str, key: bytes, message: bytes) -> None:
    assert digest(name, contexts(name, key), message) == hmac.digest(key, message, name)


@pytest.mark.parametrize("stored", ["", "00", "zz", COURIER["sha1"], COURIER["md5"] + "00"])
def test_bad_contexts(stored: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        digest("md5", stored, b"x")
