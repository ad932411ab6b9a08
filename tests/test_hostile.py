"""Files that are broken, lie, or were made to do harm: each costs nobody else, and each ends with a reason.

The figures of `tests.reliability` in reduced size, and every file that broke a promise once (`tests/corpus`).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tagger.model import read_card, shipped_model_dir
from tests.reliability import fuzz

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_R27_what_broke_a_promise_once(name: str, tmp_path: Path) -> None:
    model = shipped_model_dir()
    copy = shutil.copy(CORPUS / name, tmp_path)
    assert fuzz.trial(os.fsencode(copy), os.fspath(model), read_card(model)) == []


@pytest.mark.slow
def test_R27_mutations_of_every_container(tmp_path: Path) -> None:
    figure = fuzz.fuzz(tmp_path, size=40)
    assert figure, figure.notes
