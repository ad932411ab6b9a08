"""Listening on a Dask cluster: the same rows as here, whatever is lost on the way; and what is refused."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tagger
from tagger.batch import run_batch
from tagger.bundle import shipped_model_dir
from tagger.card import read_card
from tagger.classify import listen
from tagger.cluster import connection as link
from tagger.cluster import dispatch, node
from tagger.cluster.connection import Lost, Misfit
from tagger.cluster.dispatch import listen_all
from tagger.errors import ClusterError
from tagger.job import Cluster, RunOptions, Told
from tagger.store import Store
from tagger.tracks import Heard, ListenTask, Outcome, Status
from tests import faulty_worker, media
from tests.conftest import ROOT, Tagger, environment
from tests.inprocess import Here, here

__all__ = ["here"]

MODEL = str(shipped_model_dir())


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    """Two processes with a thread each. Dask gives a task up with the first worker that it loses with it."""
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=None
        ) as cluster,
    ):
        yield cluster


def there(cluster: Any, *maps: tuple[bytes, bytes]) -> Cluster:
    return Cluster(cluster.scheduler_address, maps)


def tasks_of(names: Sequence[bytes], *, folder: bytes = b"/music") -> list[ListenTask]:
    return [ListenTask(b"%s/%s.mp3" % (folder, name), MODEL, time_limit_s=1) for name in names]


def run(tasks: list[ListenTask], cluster: Cluster, **how: Any) -> dict[bytes, Heard]:
    how = {"worker": faulty_worker.listen, "n_jobs": 0, "tell": pytest.fail} | how
    reports: dict[bytes, Heard] = {}
    for heard in listen_all(tasks, cluster=cluster, **how):
        assert heard.path not in reports, "a track was reported twice"
        reports[heard.path] = heard
    assert set(reports) == {task.path for task in tasks}
    return reports


def ears() -> int:
    """How many listening processes there are on this computer."""
    found = 0
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += b"tagger.cluster.ear" in entry.read_bytes()
        except OSError:
            continue
    return found


def none_left() -> bool:
    """Whether no listening process is left, or none in a moment: they are killed and not waited for."""
    until_s = time.monotonic() + 10
    while ears() and time.monotonic() < until_s:
        time.sleep(0.05)
    return ears() == 0


# ---- the work


def test_faults_are_named_and_cost_nobody_else(dask: Any) -> None:
    names = [b"good%d" % n for n in range(30)]
    names[7:7] = [b"segfault", b"sys-exit", b"exit"]
    names[20:20] = [b"hang-in-c", b"unpicklable"]
    threads: list[int] = []
    reports = run(tasks_of(names), there(dask), at_work=threads.append)
    failed = {path: heard for path, heard in reports.items() if heard.failure is not None}
    assert {path: heard.failure for path, heard in failed.items()} == {
        b"/music/segfault.mp3": Status.CRASHED,
        b"/music/exit.mp3": Status.CRASHED,
        b"/music/sys-exit.mp3": Status.FAILED,
        b"/music/unpicklable.mp3": Status.FAILED,
        b"/music/hang-in-c.mp3": Status.TIMED_OUT,
    }
    assert "SIGSEGV(-11)" in failed[b"/music/segfault.mp3"].reason
    assert threads == [2]
    good = [heard for heard in reports.values() if heard.failure is None]
    assert {heard.reason for heard in good} == {"1"}, "one thread each"
    assert not {heard.size_bytes for heard in good} & {w.pid for w in dask.workers.values()}
    assert none_left(), "the processes of a run end with it"


def test_no_tasks_is_no_work() -> None:
    assert run([], Cluster("tcp://127.0.0.1:9")) == {}


def test_no_more_is_in_flight_than_was_asked_for(dask: Any) -> None:
    drawn: list[bytes] = []

    def draw() -> Iterator[ListenTask]:
        for task in tasks_of([b"%d" % n for n in range(20)]):
            drawn.append(task.path)
            yield task

    for most, n_jobs in ((4, 0), (1, 1)):
        drawn.clear()
        reports = listen_all(
            draw(), worker=faulty_worker.listen, n_jobs=n_jobs, cluster=there(dask), tell=pytest.fail
        )
        for n, _ in enumerate(reports):
            assert len(drawn) <= n + 1 + most
        assert len(drawn) == 20


@pytest.mark.slow
def test_what_workers_are_lost_with_is_named_and_its_neighbours_are_done(dask: Any) -> None:
    names = [b"good%d" % n for n in range(12)]
    names.insert(5, b"kill-parent")
    reports = run(tasks_of(names), there(dask))
    crashed = [heard for heard in reports.values() if heard.failure is not None]
    assert [(heard.path, heard.failure) for heard in crashed] == [(b"/music/kill-parent.mp3", Status.CRASHED)]
    assert "was on the Dask worker each time one was lost" in crashed[0].reason


class _Killer(Told):
    """Kills a worker, as a node's end would, with the first outcome."""

    def __init__(self, cluster: Any) -> None:
        super().__init__()
        self.cluster, self.killed = cluster, 0

    def outcome(self, outcome: Outcome) -> None:
        super().outcome(outcome)
        if not self.killed:
            self.killed = self.cluster.workers[0].pid
            os.kill(self.killed, signal.SIGKILL)


@pytest.mark.slow
def test_the_rows_are_those_of_this_computer_though_a_worker_is_killed(
    dask: Any, made_library: Path, tmp_path: Path
) -> None:
    music = Path(shutil.copytree(made_library, tmp_path / "music"))
    (music / "broken.mp3").write_bytes(b"ID3 no music at all" * 100)
    card = read_card(MODEL)
    options = RunOptions((os.fsencode(music),), MODEL, jobs=2, write=False)
    with Store.open(tmp_path / "here.db") as store:
        told = Told()
        run_batch(store, card, options, told)
    killer = _Killer(dask)
    with Store.open(tmp_path / "there.db") as store:
        run_batch(store, card, replace(options, jobs=0, cluster=there(dask)), killer)
    assert killer.killed and not killer.warnings
    assert len(killer.outcomes) == len(told.outcomes) == len(list(music.iterdir()))
    assert _rows(tmp_path / "there.db") == _rows(tmp_path / "here.db")


def _rows(database: Path) -> list[tuple[Any, ...]]:
    """All that is remembered of the tracks but when, and in what order."""
    with sqlite3.connect(database) as conn:
        columns = [row[1] for row in conn.execute("PRAGMA table_info(tracks)")]
        kept = [f"tracks.{name}" for name in columns if name != "id" and not name.endswith("_ns")]
        return conn.execute(
            f"SELECT {', '.join(kept)}, analyses.activations, analyses.embedding "
            "FROM tracks LEFT JOIN analyses ON analyses.track_id = tracks.id ORDER BY path"
        ).fetchall()


def test_paths_are_mapped_and_come_back_as_they_were(dask: Any, tmp_path: Path) -> None:
    media.make(tmp_path / "caf\udce9.mp3", "mp3", seconds=4)
    (tmp_path / "broken.mp3").write_text("no music at all")
    names = [b"caf\xe9", b"broken", b"gone"]
    tasks = [replace(task, time_limit_s=60) for task in tasks_of(names, folder=b"/only/here")]
    reports = run(tasks, there(dask, (b"/only", b"/"), (b"/only/here", os.fsencode(tmp_path))), worker=listen)
    assert reports[b"/only/here/caf\xe9.mp3"].analysis is not None
    broken, gone = reports[b"/only/here/broken.mp3"], reports[b"/only/here/gone.mp3"]
    assert (broken.failure, gone.failure) == (Status.UNREADABLE, Status.CHANGED_MEANWHILE)
    assert "/only/here/broken.mp3" in broken.reason and str(tmp_path) not in broken.reason + gone.reason


# ---- what is refused, in a sentence


def test_another_version_is_refused(dask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagger, "__version__", "9.9")
    with pytest.raises(
        ClusterError, match=r"^The Dask worker tcp://.* has tagger 0\S+, and this computer 9\.9"
    ):
        run(tasks_of([b"good"]), there(dask))


def test_another_model_is_refused(dask: Any, tmp_path: Path) -> None:
    mine = tmp_path / "here" / "mine"
    shutil.copytree(MODEL, mine)
    card = mine / "card.json"
    card.write_text(card.read_text().replace('"licence": "', '"licence": "Mine. '))
    tasks = [replace(task, model_dir=str(mine)) for task in tasks_of([b"good"])]
    elsewhere = (os.fsencode(tmp_path / "here"), b"/nowhere")
    with pytest.raises(
        ClusterError, match=r"has no model \S+@\S+ that is the same as here: install the same"
    ):
        run(tasks, there(dask, elsewhere))
    assert run(tasks, there(dask)), "where the nodes see the folder, any model will do"


def test_a_node_that_does_not_see_the_files_is_refused(dask: Any, tmp_path: Path) -> None:
    (tmp_path / "good.mp3").touch()
    tasks = tasks_of([b"good"], folder=os.fsencode(tmp_path))
    with pytest.raises(ClusterError, match=r"does not see /nowhere/good\.mp3 \(No such file.*say --map"):
        run(tasks, there(dask, (os.fsencode(tmp_path), b"/nowhere")))


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CONNECT_S", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ClusterError, match=rf"^The Dask scheduler at {address} cannot be reached \("):
        run(tasks_of([b"good"]), Cluster(address))


def test_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(link, "WORKERS_S", 0.3)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(ClusterError, match=r"^No worker has joined .*start some with `dask worker inproc://"),
    ):
        run(tasks_of([b"good"]), there(empty))


# ---- what happens on the way, told by a link that is none


class _Script:
    """A link whose answers are written beforehand: by task, one after the other."""

    def __init__(self, said: dict[str, list[tuple[str, node.Answer | Lost | Misfit]]]) -> None:
        self.said = said
        self.sent: list[tuple[str, list[str]]] = []
        self.bare: dict[str, Misfit] = {}
        self.out: list[tuple[str, str, Any]] = []

    def wait_for_worker(self) -> None:
        pass

    def ask(self, workers: Iterable[str], errand: str, *_asked: Any) -> dict[str, bytes | Misfit]:
        assert errand == "inspect"
        fit = pickle.dumps(node.Answer("there"))
        return {at: self.bare.get(at, fit) for at in workers}

    def threads(self) -> dict[str, int]:
        return {"tcp://a:1": 1, "tcp://b:1": 1}

    def send(self, key: str, errand: str, _version: str, order: bytes, *, rather: Sequence[str]) -> None:
        assert errand == "hear"
        name = Path(os.fsdecode(pickle.loads(order).task.path)).stem
        self.sent.append((name, list(rather)))
        good = ("tcp://b:1", node.Answer("b", Heard(b"/there/" + name.encode())))
        said = self.said.get(name, [])
        at, answer = said.pop(0) if said else good
        self.out.append((key, at, pickle.dumps(answer) if isinstance(answer, node.Answer) else answer))

    def receive(self, wait_s: float) -> list[tuple[str, str, Any]]:
        out, self.out = self.out, []
        return out

    def close(self, _run: str) -> None:
        pass


def scripted(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, list[tuple[str, node.Answer | Lost | Misfit]]]
) -> tuple[_Script, list[str], dict[bytes, Heard]]:
    script, told = _Script(said), []  # type: ignore[var-annotated]
    monkeypatch.setattr(dispatch, "Link", lambda _address: script)
    reports = run(tasks_of([b"1", b"2", b"3"]), Cluster("tcp://x:1"), tell=told.append)
    return script, told, reports


def test_what_is_lost_with_the_scheduler_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script, told, reports = scripted(monkeypatch, {"2": [("", Lost.CONNECTION)] * 3})
    assert [name for name, _ in script.sent].count("2") == 4
    assert not told and all(heard.failure is None for heard in reports.values())


def test_nothing_is_sent_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ClusterError, match=r"^/music/2\.mp3 was sent to the Dask cluster 10 times in vain: the conn"
    ):
        scripted(monkeypatch, {"2": [("", Lost.CONNECTION)] * 20})


def test_what_dask_gives_up_is_tried_once_more_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = [("", Lost.WORKERS)]
    script, _, reports = scripted(monkeypatch, {"1": lost * 2, "2": lost * 1})
    assert [name for name, _ in script.sent] == ["1", "2", "3", "1", "2"]
    assert (
        reports[b"/music/1.mp3"].failure is Status.CRASHED
        and "/music/1.mp3" in reports[b"/music/1.mp3"].reason
    )
    assert reports[b"/music/2.mp3"].failure is None


def test_a_worker_that_comes_later_and_is_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    old = ("tcp://a:1", node.Answer("nas (process 7)", unfit="has tagger 0.0.9, and this computer 0.1.0"))
    script, told, reports = scripted(monkeypatch, {"1": [old], "3": [old]})
    assert told == [
        "The Dask worker tcp://a:1 on nas (process 7) has tagger 0.0.9, and this computer 0.1.0; "
        "it is left out for now."
    ], "once"
    assert ("1", ["tcp://b:1"]) in script.sent and len(reports) == 3
    both = {"1": [old, ("tcp://b:1", old[1])]}
    with pytest.raises(ClusterError, match="and no other is left that can listen"):
        scripted(monkeypatch, both)


def test_a_worker_without_tagger_that_comes_later_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    none = Misfit("ModuleNotFoundError: No module named 'tagger'")
    script = _Script({"2": [("", none)]})
    monkeypatch.setattr(dispatch, "Link", lambda _address: script)
    monkeypatch.setattr(
        script, "threads", lambda: {"tcp://a:1": 1} | ({"tcp://b:1": 1} if script.sent else {})
    )
    told: list[str] = []
    script.bare["tcp://b:1"] = none
    assert len(run(tasks_of([b"1", b"2", b"3"]), Cluster("tcp://x:1"), tell=told.append)) == 3
    assert told == [f"The Dask worker tcp://b:1 has not this tagger ({none.why}); it is left out for now."]
    assert ("2", ["tcp://a:1"]) in script.sent


@pytest.mark.slow
def test_a_worker_without_tagger_is_named_and_lives_on() -> None:
    """Dask closes a worker that cannot unpickle a task: none of ours must be such a one."""
    from distributed import Client, LocalCluster

    hide = "import sys; sys.modules['tagger'] = None"
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as bare,
        Client(bare, set_as_default=False) as client,
    ):
        client.run(exec, hide)
        before = client.run(os.getpid)
        with pytest.raises(
            ClusterError, match=r"^The Dask worker tcp://\S+ has not this tagger \(ModuleNotFound"
        ):
            run(tasks_of([b"good"]), there(bare))
        assert client.run(os.getpid) == before


def test_a_file_that_only_one_node_does_not_see_is_listened_to_by_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "1.mp3").touch()
    gone = Heard(b"/x", failure=Status.CHANGED_MEANWHILE, reason="the file is not there any more")
    script = _Script({"1": [("tcp://a:1", node.Answer("a", gone))]})
    monkeypatch.setattr(dispatch, "Link", lambda _address: script)
    told: list[str] = []
    reports = run(tasks_of([b"1"], folder=os.fsencode(tmp_path)), Cluster("tcp://x:1"), tell=told.append)
    assert "does not see" in told[0] and all(heard.failure is None for heard in reports.values())


# ---- the scheduler goes


@pytest.mark.slow
def test_a_scheduler_that_goes_is_waited_for_and_then_said_to_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(link, "AGAIN_S", 20.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start() -> Any:
        return LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            scheduler_port=port,
        )

    cluster = start()
    names = [b"%d" % n for n in range(40)]
    reports = listen_all(
        tasks_of(names), worker=faulty_worker.listen, n_jobs=0, cluster=there(cluster), tell=pytest.fail
    )
    seen = {next(reports).path for _ in range(5)}
    cluster.close()
    cluster = start()
    seen |= {next(reports).path for _ in range(10)}
    assert len(seen) == 15
    cluster.close()
    monkeypatch.setattr(link, "AGAIN_S", 1.0)
    monkeypatch.setattr(link, "CONNECT_S", 0.5)
    with pytest.raises(
        ClusterError, match=r"has gone and did not come back within 1 s; what was done is kept"
    ):
        for _ in reports:
            pass


# ---- the command


@pytest.fixture(scope="module")
def few(made_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    for name in ("mp3.mp3", "flac.flac", "wav.wav"):
        shutil.copy(made_library / name, folder)
    return folder


def test_the_command_writes_what_the_cluster_heard(
    dask: Any, few: Path, tmp_path: Path, tagger: Tagger
) -> None:
    music = Path(shutil.copytree(few, tmp_path / "music"))
    config = tmp_path / "c.toml"
    config.write_text(f'backend = "dask"\nscheduler = "{dask.scheduler_address}"\nmap = ["{music}={few}"]\n')
    ran = tagger("run", "--config", config, "--nice", "--profile", "--threshold", 0, "--margin", 0, music)
    assert ran.code == 0, ran.err
    assert f"listening to 3 with the Dask cluster at {dask.scheduler_address}" in ran.out
    assert "3  genre written" in ran.out and "workers" in ran.err


def test_what_makes_no_sense_is_said(here: Here, few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*options: str) -> str:
        ran = here("run", "--dry-run", *options, few)
        assert ran.code == 2, ran.err
        return ran.err

    dask = ("--backend", "dask")
    assert "Which Dask cluster? Say --scheduler" in said(*dask)
    assert "say --backend dask, too" in said("--scheduler", "tcp://x:1")
    assert "is 'nas', but must be an address such as" in said(*dask, "--scheduler", "nas")
    assert "but must be pairs of full paths" in said(*dask, "--map", "/a=b")
    both = (*dask, "--scheduler", "tcp://127.0.0.1:9")
    assert "max_load looks at the load of this computer" in said(*both, "--max-load", "3")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert "`pip install 'tagger[dask]'` installs it" in said(*both)


def test_ctrl_c_leaves_in_order(dask: Any, few: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for n in range(200):
        shutil.copy(few / "mp3.mp3", music / f"{n}.mp3")
    argv = [sys.executable, "-m", "tagger", "run", "--json", "--backend", "dask"]
    process = subprocess.Popen(
        [*argv, "--scheduler", dask.scheduler_address, str(music)], cwd=ROOT, env=environment(tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    asked_s = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Interrupted; what was done so far is kept" in err and "Traceback" not in err
    assert time.monotonic() - asked_s < 10
    assert none_left()
    assert run(tasks_of([b"good"]), there(dask)), "the cluster is as free as before"
