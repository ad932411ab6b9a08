"""What no command takes: names that are empty, numbers that no database holds."""

from __future__ import annotations

import pytest

from tests.inprocess import Here, here

__all__ = ["here"]


@pytest.mark.parametrize(
    "words",
    [
        ("run", ""), ("run", "/music", ""), ("scan", ""), ("write", ""), ("ls", ""), ("export", ""),
        ("predict", ""), ("schedule", ""), ("watch", ""), ("listen", ""), ("explain", ""), ("similar", ""),
        ("import", ""), ("correct", "", "Jazz"), ("correct", "--forget", ""), ("undo", "--yes", "--in", ""),
        ("status", "--db", ""), ("status", "--config", ""), ("run", "--log", "", "/music"),
        ("export", "-o", ""), ("config", "path", "--config", ""),
    ],
    ids=repr,
)  # fmt: skip
def test_an_empty_name_is_not_the_current_folder(here: Here, words: tuple[str, ...]) -> None:
    done = here(*words)
    assert done.code == 2 and done.err.endswith("An empty name is no file or folder.\n")
    assert not done.out


@pytest.mark.parametrize(
    "words",
    [("undo", "--yes"), ("runs", "--limit"), ("ls", "--limit"), ("export", "--limit"), ("review", "-n"),
     ("similar", "x.mp3", "-n")],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("number", ["99999999999999999999", "9223372036854775808", "0", "-1"])
def test_a_number_has_bounds(here: Here, words: tuple[str, ...], number: str) -> None:
    done = here(*words, *(["--"] if words[0] == "undo" else []), number)
    assert done.code == 2 and f"{number} is not in the range" in done.err


@pytest.mark.parametrize("words", [("status",), ("run", "/music"), ("models", "use", "x")], ids=" ".join)
def test_an_empty_name_is_no_library(here: Here, words: tuple[str, ...]) -> None:
    done = here(*words, "--library", "")
    assert done.code == 2 and "An empty name is no library." in done.err
