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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long campaigns to their own make targets unless they are asked for by -m."""
    if "campaign" in (config.option.markexpr or ""):
        return
    dropped = [item for item in items if item.get_closest_marker("campaign")]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if not item.get_closest_marker("campaign")]


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
