"""The table of figures itself: what it prints and when it fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.reliability.__main__ import measured, show
from tests.reliability.figures import Entry, Figure, Measured, NotHere, figure, load_all


def entry(raising: Exception | None = None, ok: bool = True) -> Entry:
    def measure(folder: Path, *, size: int) -> Figure:
        if raising:
            raise raising
        return Figure("R99", "what is measured", "0", f"{size} of {size}", size, "half", ok, ("file x",))

    return Entry("R99", "what is measured", "0", "half", 10, measure)


def test_table_shows_a_row_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([measured(entry(), 12_000)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"R99 +\| what is measured +\| 0 +\| 12000 of 12000 +\| 12,000 +\| half", printed)


def test_missed_bar_fails_and_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([measured(entry(), 1), measured(entry(ok=False), 1)]) == 1
    assert "R99 missed its bar: 1 of 1\n  file x" in capsys.readouterr().out


def test_an_exception_is_a_missed_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([measured(entry(AssertionError("two were lost")), 1)]) == 1
    assert "AssertionError: two were lost" in capsys.readouterr().out


def test_what_cannot_be_measured_here_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([measured(entry(NotHere("needs root")), 1)]) == 0
    assert "not measured here" in capsys.readouterr().out


def test_every_figure_has_a_row_and_no_id_is_taken_twice() -> None:
    register = load_all()
    assert register
    for id, row in register.items():
        assert re.fullmatch(r"R\d\d", id)
        assert row.what and row.bar and row.full > 0
    with pytest.raises(ValueError, match="registered twice"):
        figure(next(iter(register)), what="again", bar="0")(lambda folder, *, size: Measured(True, "", 0))
