"""What every test shares: the list of what was left out, with its reason, at the end of a run."""

import resource
from collections import defaultdict

import pytest
from hypothesis import settings

# A busy machine is no fault of what is tested.
settings.register_profile("restante", deadline=None)
settings.load_profile("restante")

# Many services and clients live in one test process; 1,024 open files are too few for them.
_, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _most))


# What runs only where it is asked for by -m, from its own make targets.
_ON_REQUEST = ("campaign", "e2e")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long campaigns and what needs a Docker engine out unless -m names them."""
    asked = config.option.markexpr or ""
    left_out = [name for name in _ON_REQUEST if name not in asked]
    dropped = [item for item in items if any(map(item.get_closest_marker, left_out))]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        kept = set(items) - set(dropped)
        items[:] = [item for item in items if item in kept]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out and why, so that a green run never hides a gap."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple):
            reasons[str(report.longrepr[2]).removeprefix("Skipped: ")].append(report.nodeid)
    if not reasons:
        terminalreporter.write_line("left out: nothing")
        return
    terminalreporter.section("left out on this machine")
    for reason, nodes in sorted(reasons.items()):
        files = sorted({node.partition("::")[0] for node in nodes})
        terminalreporter.write_line(f"{len(nodes):4d}  {reason}  ({', '.join(files)})")
