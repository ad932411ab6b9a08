"""Where the time of a run goes: the parts add up, and `--profile` shows them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tagger.profile import PARENT_PARTS, WORKER_PARTS, Profile
from tests import media
from tests.conftest import Tagger


def test_the_parts_of_each_process_add_up() -> None:
    profile = Profile()
    profile.n_jobs = 2

    def reports() -> object:
        for _ in range(2):
            time.sleep(0.05)
            yield {"decode": 0.04, "cnn": 0.01}

    started_s = time.perf_counter()
    for seconds in profile.waited(reports()):  # type: ignore[arg-type]
        with profile.timed("database"):
            profile.heard(seconds)
            with profile.timed("writing", of="database"):
                time.sleep(0.02)
    run_s = time.perf_counter() - started_s
    rows = profile.rows(run_s)
    for process in ("workers", "parent"):
        assert sum(share for name, _, share, _ in rows if name == process) == pytest.approx(1, abs=1e-6)
    took = {what: took_s for _, took_s, _, what in rows}
    assert took[WORKER_PARTS["decode"]] == pytest.approx(0.08)
    assert took[PARENT_PARTS["writing"]] >= 0.04
    assert took[PARENT_PARTS["database"]] < 0.03
    assert took[PARENT_PARTS["waiting"]] >= 0.1
    assert took["starting, and idle"] > 0


def test_nothing_listened_to_has_no_workers() -> None:
    profile = Profile()
    with profile.timed("scan"):
        pass
    assert {row[0] for row in profile.rows(1.0)} == {"parent"}


def test_a_run_shows_where_its_time_went(tagger: Tagger, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    media.make(music / "x.mp3", "mp3", seconds=120)
    ran = tagger("run", "--profile", "--jobs", 1, music)
    assert ran.code == 0
    table = {
        what: (process, float(seconds))
        for process, seconds, what in re.findall(r"^  (\w+) +([\d.]+) s +\d+%  (.+)$", ran.err, re.M)
    }
    for part in ("decode", "mel", "cnn"):
        process, seconds = table[WORKER_PARTS[part]]
        assert process == "workers" and seconds > 0
    assert table[PARENT_PARTS["waiting"]][1] > 0
    assert "Where the time went" not in tagger("run", music).err
