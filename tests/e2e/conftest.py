"""What all end-to-end tests share: the check of the engine, cleaning up, the stack."""

from collections.abc import Iterator

import pytest

from tests.e2e import engine, front
from tests.e2e.compose import ComposeStack
from tests.e2e.front import Front
from tests.e2e.stack import Stack


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
