"""Both event loops for the modules of accounts that bring their own protocol."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

_BOTH = ("test_ldap", "test_ldap_down", "test_pipe_module", "test_http_module")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these on the loop of the services and on the standard one; the others on the latter."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.stem in _BOTH:
        loops["uvloop"] = uvloop.new_event_loop
    return loops
