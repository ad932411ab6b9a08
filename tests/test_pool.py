"""The pool outlives anything a decoder does, and names who did it."""

from __future__ import annotations

import sys
import time

import pytest

from tagger.pool import listen_all
from tagger.tracks import Heard, ListenTask, Status
from tests.faulty_worker import listen

FAULTS = {
    b"segfault": Status.CRASHED,
    b"exit": Status.CRASHED,
    b"sys-exit": Status.FAILED,
    b"loop": Status.TIMED_OUT,
    b"hang-in-c": Status.TIMED_OUT,
    b"unpicklable": Status.FAILED,
}
if sys.platform == "linux":
    FAULTS[b"allocate"] = Status.FAILED


def run(names: list[bytes], n_jobs: int) -> dict[bytes, Heard]:
    tasks = [ListenTask(path=b"/music/%s.mp3" % name, model_dir="", time_limit_s=2) for name in names]
    reports: dict[bytes, Heard] = {}
    for heard in listen_all(tasks, worker=listen, n_jobs=n_jobs):
        assert heard.path not in reports, "a track was reported twice"
        reports[heard.path] = heard
    assert set(reports) == {task.path for task in tasks}
    return reports


def test_every_task_is_reported_once_in_other_processes_with_one_thread_each() -> None:
    reports = run([b"%d" % i for i in range(40)], n_jobs=2)
    assert all(heard.failure is None for heard in reports.values())
    assert {heard.reason for heard in reports.values()} == {"1"}
    import os

    assert os.getpid() not in {heard.size_bytes for heard in reports.values()}


def test_no_tasks_is_no_work() -> None:
    assert run([], n_jobs=2) == {}


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_R21_planted_faults_are_named_and_cost_nobody_else(
    n_jobs: int, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [b"good%d" % i for i in range(100)]
    for place, fault in enumerate(FAULTS):
        names.insert(7 + 13 * place, fault)
    reports = run(names, n_jobs)
    for fault, status in FAULTS.items():
        heard = reports[b"/music/%s.mp3" % fault]
        assert heard.failure is status, heard.reason
        assert fault.decode() in heard.reason
    good = [heard for path, heard in reports.items() if b"good" in path]
    assert len(good) == 100
    assert all(heard.failure is None for heard in good)
    assert "Traceback" not in capfd.readouterr().err


def test_a_crash_is_told_from_a_process_that_took_too_long_however_late_it_comes() -> None:
    task = ListenTask(path=b"/music/late-segfault.mp3", model_dir="", time_limit_s=0.5)
    (heard,) = listen_all([task], worker=listen, n_jobs=1)
    assert heard.failure is Status.CRASHED, heard.reason
    assert "SIGSEGV" in heard.reason or sys.platform != "linux"


def test_leaving_early_stops_the_workers_at_once() -> None:
    tasks = [ListenTask(path=b"/music/%d.mp3" % i, model_dir="", time_limit_s=60) for i in range(50)]
    tasks.insert(3, ListenTask(path=b"/music/loop.mp3", model_dir="", time_limit_s=60))
    reports = listen_all(tasks, worker=listen, n_jobs=2)
    next(reports)
    started = time.monotonic()
    reports.close()
    assert time.monotonic() - started < 5
