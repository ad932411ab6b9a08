"""What a track costs on a cluster, part by part: for the page that reckons with ten million of them."""

from __future__ import annotations

import os
import pickle
import re
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.corpus import long_tracks
from tests.benchmarks.harness import ROOT, Row, benchmark, environment, tagger, timed

if TYPE_CHECKING:
    from tagger.tracks import ListenTask

N_SENT, N_KEPT, N_PLANNED, N_LONG = 3000, 5000, 100_000, 6
THREADS = 4

_TYPICAL = Path(os.environ.get("TAGGER_TYPICAL_HEARD", ""))


def nothing(task: object) -> object:
    """A worker that has heard it all: what a four-minute track gives, at once."""
    heard = pickle.loads(_TYPICAL.read_bytes())
    return replace(heard, path=task.path)  # type: ignore[attr-defined]


@benchmark("cluster")
def cluster(folder: Path, _rounds: int) -> list[Row]:
    """Bytes and milliseconds a track: the order, the report, the database, Dask, what is planned."""
    from tagger.bundle import shipped_model_dir
    from tagger.classify import listen
    from tagger.tracks import ListenTask

    model = str(shipped_model_dir())
    files = long_tracks(folder / "music", at_most=N_LONG)
    tasks = [ListenTask(os.fsencode(path), model) for path in files]
    listen(tasks[0])  # the model is loaded once a process, which is no track's cost
    started_s = time.process_time()
    heards = [listen(task) for task in tasks]
    spent_s = (time.process_time() - started_s) / len(tasks)
    typical = max(heards, key=lambda heard: len(pickle.dumps(heard)))
    (folder / "heard").write_bytes(pickle.dumps(typical))
    size = statistics.mean(path.stat().st_size for path in files)
    rows = [
        Row("a four-minute MP3", f"{size / 1e6:.1f} MB, listened to in {spent_s:.2f} s of one core"),
        Row("its report, pickled", f"{len(pickle.dumps(typical)):,} bytes"),
        *_aside(tasks),
        *_written(folder, len(files)),
        Row("planned, in the parent's memory", f"{_planned_bytes(model):,.0f} bytes a track"),
    ]
    rows += _remembered(folder, model, typical)
    return rows + _sent(folder, model)


def _aside(tasks: list[ListenTask]) -> list[Row]:
    """The process that listens beside a Dask worker: its memory, and what it takes to start one."""
    from tagger.classify import listen
    from tagger.cluster.ear import Ear
    from tagger.guard import guarded

    started_s = time.perf_counter()
    ear = Ear()
    pid = ear.ask(os.getpid, limit_s=60)
    took_s = time.perf_counter() - started_s
    for task in tasks:
        ear.ask(guarded, listen, task, limit_s=600)
    taken = _memory(pid)
    ear.close()
    return [Row("a listening process", f"{taken / 1e6:.0f} MB, started in {took_s:.2f} s")]


def _written(folder: Path, n_files: int) -> list[Row]:
    """What writing the genre takes, file and journal."""
    bold = ("--threshold", "0", "--margin", "0", "--mode", "overwrite")
    table = timed(tagger("run", "--quiet", "--profile", *bold, folder / "music"), folder).err
    found = re.search(r"([\d.]+) s .*writing files", table)
    assert found, table
    return [Row("writing its genre", f"{float(found[1]) / n_files * 1e3:.0f} ms")]


def _planned_bytes(model: str) -> float:
    """Memory of a run for each track that it is going to listen to."""
    from tagger.tracks import ListenTask, Track

    tracemalloc.start()
    tracks, tasks = {}, []
    for n in range(N_PLANNED):
        path = b"/mnt/nas/music/Artist %d/Album %d/%02d Title.mp3" % (n // 120, n // 12, n % 12)
        track = Track(path, b"/mnt/nas/music", 10_000_000 + n, 1_700_000_000_000_000_000 + n)
        tracks[path] = track
        tasks.append(ListenTask(path, model))
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return taken / N_PLANNED


def _remembered(folder: Path, model: str, heard: object) -> list[Row]:
    """What the parent does with each report when it writes no file, and what the database keeps."""
    from tagger.card import read_card
    from tagger.conclude import Conclusions
    from tagger.job import RunOptions, Told
    from tagger.run import Run
    from tagger.store import Store
    from tagger.tracks import Heard, Track

    assert isinstance(heard, Heard)
    database = folder / "kept.db"
    options = RunOptions((b"/mnt/nas/music",), model, write=False)
    with Store.open(database) as store, Run(store, read_card(model), options, Told(), kind="scan") as run:
        conclusions = Conclusions(run)
        empty = database.stat().st_size
        started_s, cpu_s = time.perf_counter(), time.process_time()
        for n in range(N_KEPT):
            path = b"/mnt/nas/music/Artist %d/Album %d/%02d Title.mp3" % (n // 120, n // 12, n % 12)
            track = Track(path, b"/mnt/nas/music", heard.size_bytes + n, heard.mtime_ns)
            digest = n.to_bytes(16, "big")
            said = replace(heard, path=path, digest=digest, size_bytes=track.size_bytes)
            conclusions.heard(track, said)
        wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    kept = sum(path.stat().st_size for path in folder.glob("kept.db*")) - empty
    return [
        Row("remembering it", f"{wall_s / N_KEPT * 1e3:.1f} ms, {cpu_s / N_KEPT * 1e3:.1f} ms of one core"),
        Row("the database", f"{kept / N_KEPT:,.0f} bytes a track"),
    ]


def _sent(folder: Path, model: str) -> list[Row]:
    """What Dask takes for a track, with workers that have nothing to do."""
    from tagger.cluster.dispatch import listen_all
    from tagger.job import Cluster
    from tagger.tracks import ListenTask

    paths = [b"/mnt/nas/music/Artist %d/%d.mp3" % (n // 120, n) for n in range(N_SENT)]
    tasks = [ListenTask(path, model) for path in paths]
    os.environ["TAGGER_TYPICAL_HEARD"] = str(folder / "heard")
    with _dask(folder) as (address, scheduler, worker):
        for _ in listen_all(tasks[:50], worker=nothing, n_jobs=0, cluster=Cluster(address), tell=print):
            pass
        before_s = [_cpu_s(pid) for pid in (os.getpid(), scheduler, worker)]
        memory = _memory(scheduler)
        lo, started_s = _loopback(), time.perf_counter()
        for _ in listen_all(tasks, worker=nothing, n_jobs=0, cluster=Cluster(address), tell=print):
            pass
        wall_s, sent = time.perf_counter() - started_s, _loopback() - lo
        spent = [_cpu_s(pid) - s for pid, s in zip((os.getpid(), scheduler, worker), before_s, strict=True)]
        grown = _memory(scheduler) - memory
        own = _memory(worker)
    parent, by_scheduler, by_worker = (s / N_SENT * 1e3 for s in spent)
    return [
        Row("Dask, a track", f"{parent:.1f} ms of the parent, {by_scheduler:.1f} of the scheduler, "
            f"{by_worker:.1f} of the worker; {N_SENT / wall_s:.0f} tracks/s"),
        Row("over the network", f"{sent / N_SENT:,.0f} bytes a track on all ways together"),
        Row("the scheduler after so many", f"{grown / 1e6:+.1f} MB for {N_SENT:,} tracks"),
        Row("a Dask worker", f"{own / 1e6:.0f} MB, without its listening processes"),
    ]  # fmt: skip


@contextmanager
def _dask(folder: Path) -> Iterator[tuple[str, int, int]]:
    """A scheduler and a worker, each a process; address and process ids."""
    env = environment(folder, TAGGER_TYPICAL_HEARD=str(folder / "heard"))
    known = folder / "scheduler.json"
    run = [sys.executable, "-m"]
    how = ["--scheduler-file", str(known), "--no-dashboard"]
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *how]
    worker = ["distributed.cli.dask_worker", "--nthreads", str(THREADS), "--no-nanny", *how]
    processes = []
    try:
        for command in (scheduler, worker):
            processes.append(subprocess.Popen([*run, *command], env=env, cwd=ROOT, stderr=subprocess.DEVNULL))
            until_s = time.monotonic() + 60
            while not known.exists() and time.monotonic() < until_s:
                time.sleep(0.1)
        from json import loads

        yield loads(known.read_text())["address"], processes[0].pid, processes[1].pid
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(20)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _loopback() -> int:
    """Bytes that went over this computer's loopback since it was started."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if "lo:" in line)
    return int(line.partition(":")[2].split()[0])
