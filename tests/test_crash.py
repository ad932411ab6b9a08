"""Killed, interrupted, started twice: the figures of tests/reliability/crash.py in reduced size."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.reliability import crash

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="process groups and signals of POSIX"),
    pytest.mark.timeout(900),
]


def test_R02_thirty_kills_leave_every_file_old_or_new(tmp_path: Path) -> None:
    found = crash.r02(tmp_path, size=30)
    assert found, found


def test_R03_a_kill_at_each_boundary_and_a_rerun(tmp_path: Path) -> None:
    found = crash.r03(tmp_path, size=1)
    assert found, found.notes


def test_R06_interrupts_end_the_run_at_once_and_leave_nothing_behind(tmp_path: Path) -> None:
    found = crash.r06(tmp_path, size=2)
    assert found, found.notes


def test_R12_a_second_run_opens_no_file(tmp_path: Path) -> None:
    found = crash.r12(tmp_path, size=12)
    assert found, found.notes


def test_R24_memory_stays_flat(tmp_path: Path) -> None:
    found = crash.r24(tmp_path, size=1200)
    assert found, (found.measured, found.notes)


def test_R40_a_second_run_is_kept_out(tmp_path: Path) -> None:
    found = crash.r40(tmp_path, size=1)
    assert found, found.notes
