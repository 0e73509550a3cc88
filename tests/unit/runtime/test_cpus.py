"""CPUs of a container: the quota of its control group counts."""

import os
from pathlib import Path

import pytest

from restante.runtime.cpus import usable_cpus


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def _v2(top: Path, group: str, files: dict[str, str]) -> int:
    (top / "membership").write_text(f"0::{group}\n")
    for name, text in files.items():
        path = top / "fs" / name.lstrip("/") / "cpu.max"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return usable_cpus(top / "fs", top / "membership")


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),  # rounded up
        ("10000 100000\n", 1),
        ("1600000 100000\n", 8),  # more than there are
        ("nonsense", 8),
    ],
)
def test_quota(tmp_path: Path, text: str, cpus: int) -> None:
    assert _v2(tmp_path, "/", {"/": text}) == cpus


def test_the_narrowest_group_counts(tmp_path: Path) -> None:
    files = {"/": "max 100000", "/pods": "300000 100000", "/pods/one": "max 100000"}
    assert _v2(tmp_path, "/pods/one", files) == 3


def test_first_version(tmp_path: Path) -> None:
    directory = tmp_path / "cpu"
    directory.mkdir()
    (directory / "cpu.cfs_period_us").write_text("100000\n")
    for quota, cpus in (("-1", 8), ("250000", 3)):
        (directory / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        assert usable_cpus(tmp_path, tmp_path / "none") == cpus


def test_no_groups_at_all(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "none", tmp_path / "none") == 8
