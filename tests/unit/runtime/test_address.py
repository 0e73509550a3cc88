"""Listen addresses: every form, there and back."""

import pytest

from restante.runtime.address import ListenAddress


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("127.0.0.1:143", "127.0.0.1", 143, ""),
        ("[::1]:0", "::1", 0, ""),
        ("*:993", "*", 993, ""),
        ("mail.example.test:25", "mail.example.test", 25, ""),
        ("unix:/run/x.sock", "", 0, "/run/x.sock"),
        ("", "", 0, ""),
    ],
)
def test_round_trip(text: str, host: str, port: int, path: str) -> None:
    address = ListenAddress.parse(text)
    assert (address.host, address.port, address.path) == (host, port, path)
    assert str(address) == text
    assert bool(address) == bool(text)


def test_port_alone_means_every_address() -> None:
    assert ListenAddress.parse(":143") == ListenAddress("*", 143)


@pytest.mark.parametrize(
    "text",
    [
        "143",
        "a:",
        "a:65536",
        "a:-1",
        "a:٣",
        "::1:143",
        "unix:",
        "unix:" + "x" * 108,
        "a b:1",
        "/x:1",
    ],
)
def test_wrong_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|IPv6|unix"):
        ListenAddress.parse(text)


def test_target_reaches_a_wildcard() -> None:
    assert ListenAddress("*", 1).target == ("127.0.0.1", 1)
    assert ListenAddress("::", 1).target == ("::1", 1)
    assert ListenAddress("10.0.0.1", 1).target == ("10.0.0.1", 1)
