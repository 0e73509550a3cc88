"""What all end-to-end tests share: the check of the engine, cleaning up, the stack."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import engine, front
from tests.e2e.compose import ComposeStack
from tests.e2e.front import Front
from tests.e2e.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the stack of compose started last: two stacks at once are much for a small machine."""
    here = str(Path(__file__).parent)
    items.sort(key=lambda item: str(item.path).startswith(here) and _by_compose(item))


def _by_compose(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    by_program = callspec is not None and callspec.params.get("system") == "compose"
    return by_program or "compose" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session", autouse=True)
def docker_engine() -> None:
    """Skip everything where no engine can be used; remove what killed runs left behind."""
    reason = engine.missing()
    if reason is not None:
        pytest.skip(reason)
    engine.clean_up_at_the_end()
    for name in engine.remove_leftovers():
        print(f"left behind by an earlier run, removed: {name}")


@pytest.fixture(scope="session")
def stack(docker_engine: None) -> Iterator[Stack]:
    """Return the stack that tests share which do it no harm."""
    with Stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def compose(docker_engine: None) -> Iterator[ComposeStack]:
    """Return the stack of compose.yaml."""
    with ComposeStack() as stack:
        yield stack


@pytest.fixture(scope="module", params=["testcontainers", "compose"])
def system(request: pytest.FixtureRequest) -> Front:
    """Return what programs see of either stack."""
    if request.param == "compose":
        return front.of_compose(request.getfixturevalue("compose"))
    return front.of_stack(request.getfixturevalue("stack"))
