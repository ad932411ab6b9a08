"""What is playing: a pipe, a growing file, and a radio of real files on this computer's own loopback."""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagger.bundle import shipped_model_dir
from tagger.classify import analyse
from tagger.decision import decide
from tagger.errors import AudioError, ConfigError
from tagger.feature_config import FeatureConfig
from tagger.live import Moment, Window, follow
from tagger.live.sources import Source, open_source
from tagger.live.streaming import Pcm
from tagger.model import GenreModel, load_model
from tests import media
from tests.conftest import environment
from tests.inprocess import Here, here

__all__ = ["here"]

SR = 22050
CONFIG = FeatureConfig()


@pytest.fixture(scope="session")
def model() -> GenreModel:
    return load_model(shipped_model_dir("eleven"))


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP3 of 40 seconds."""
    path = tmp_path_factory.mktemp("live") / "song.mp3"
    media.make(path, "mp3", seconds=40, seed=3)
    return path


def moments(model: GenreModel, source: Source, pcm: Pcm | None = None, step_s: float = 2.0) -> list[Moment]:
    return list(follow(source, model, lambda heard: decide(heard, model.card), pcm=pcm, step_s=step_s))


def pieces(data: bytes, size: int = 5000) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def raw(y: np.ndarray[Any, Any]) -> bytes:
    return (np.clip(y, -1, 1) * 32767).astype("<i2").tobytes()


class Radio:
    """A station: serves `data`, paced at `bytes_s`, and hangs up as it was told to."""

    def __init__(self, data: bytes, *, bytes_s: float, stated: int | None = None, status: int = 200) -> None:
        self.began_s = 0.0
        radio = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "audio/mpeg")
                if stated is not None:
                    self.send_header("Content-Length", str(stated))
                self.end_headers()
                radio.began_s = time.monotonic()
                for n, piece in enumerate(pieces(data, 2000)):
                    time.sleep(max(0.0, radio.began_s + n * 2000 / bytes_s - time.monotonic()))
                    try:
                        self.wfile.write(piece)
                    except OSError:
                        return

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/live".encode()


@contextmanager
def on_air(*args: Any, **options: Any) -> Iterator[Radio]:
    radio = Radio(*args, **options)
    thread = threading.Thread(target=radio.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield radio
    finally:
        radio.server.shutdown()
        radio.server.server_close()


def test_what_is_heard_is_what_a_file_of_that_sound_is(model: GenreModel, tmp_path: Path) -> None:
    y = media.music(35, SR, 1, seed=5)[:, 0]
    path = tmp_path / "last.wav"
    media.make(path, "wav", signal=y[-30 * SR :, None], sr=SR)
    source = Source("pipe", False, pieces(raw(y)))
    last = moments(model, source, Pcm("s16le", SR, 1))[-1]
    expected = decide(analyse(os.fsencode(path), model), model.card)
    assert last.estimate is not None and last.window_s == 30
    assert last.estimate.probabilities == pytest.approx(dict(expected.probabilities), abs=0.01)


def test_a_pipe_gives_a_word_for_each_two_seconds_of_sound(model: GenreModel, song: Path) -> None:
    said = moments(model, Source("pipe", False, pieces(song.read_bytes())))
    assert [round(m.at_s) for m in said[:19]] == list(range(2, 40, 2))
    assert [round(m.window_s) for m in said[:19]] == [min(at, 30) for at in range(2, 40, 2)]
    assert all(m.estimate is not None for m in said)


@pytest.mark.parametrize("container", ["ogg-vorbis", "ogg-opus", "flac", "aac", "wav", "wma"])
def test_containers_are_recognised_as_they_come(model: GenreModel, tmp_path: Path, container: str) -> None:
    path = tmp_path / "song"
    media.make(path, container, seconds=5)
    said = moments(model, Source("pipe", False, pieces(path.read_bytes(), 700)))
    assert said[-1].estimate is not None and said[-1].at_s == pytest.approx(5, abs=0.6)


@pytest.mark.parametrize("name", ["u8", "s16be", "s24le", "s32le", "f32le"])
def test_raw_samples_of_each_kind(model: GenreModel, name: str) -> None:
    width = int(name[1:3].rstrip("lb")) // 8
    data = bytes(width * 2 * 8000 * 3)
    said = moments(model, Source("pipe", False, iter([data])), Pcm(name, 8000, 2))
    assert said[-1].at_s == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("text", ["", "s16le", "mp3:44100:2", "s16le:0:2", "s16le:44100:9", "s16le:x:2"])
def test_wrong_descriptions_of_samples_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="FORMAT:RATE:CHANNELS"):
        Pcm.parse(text)
    assert Pcm.parse("s16le:44100:2") == Pcm("s16le", 44100, 2)


def test_silence_is_said_and_left_out(model: GenreModel) -> None:
    y = media.music(6, SR, 1)[:, 0]
    data = raw(np.concatenate([y, np.zeros(4 * SR), y]))
    said = moments(model, Source("pipe", False, pieces(data)), Pcm("s16le", SR, 1))
    silent = [m.silent_s for m in said]
    assert silent == pytest.approx([0, 0, 0, 2, 4, 0, 0, 0], abs=0.1)
    assert [m.estimate is None for m in said] == [s > 0 for s in silent]
    assert said[-1].window_s == pytest.approx(12, abs=0.1)


def test_long_silence_empties_the_window() -> None:
    window = Window(CONFIG)
    loud = np.full(2 * SR, 0.5, dtype=np.float32)
    for y in (loud, *[np.zeros_like(loud)] * 14):
        window.add(y)
        window.step()
    assert len(window.samples) == len(loud) and window.silent_s == 28
    window.add(np.zeros_like(loud))
    window.step()
    assert len(window.samples) == 0
    window.add(loud)
    window.step()
    assert window.silent_s == 0 and len(window.samples) == len(loud)


def test_a_radio_in_real_time_is_heard_in_time(model: GenreModel, song: Path) -> None:
    """From the byte that the server sends to the word on it."""
    data = song.read_bytes()
    with on_air(data, bytes_s=16_000) as radio:  # 128 kbit/s
        source = open_source(radio.address)
        heard = follow(source, model, lambda h: decide(h, model.card))
        behind, gaps = [], []
        for moment in itertools.islice(heard, 2):
            behind.append(time.monotonic() - radio.began_s - moment.at_s)
            gaps.append(moment.gap_s)
        heard.close()
    assert gaps == [0, 0]
    assert all(0 < late_s < 2.5 for late_s in behind), behind
    assert min(behind) < 1.0, behind


def test_gaps_are_said_and_survived(model: GenreModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagger.live.GAP_S", 0.5)
    y = raw(media.music(2, SR, 1)[:, 0])

    def chunks() -> Iterator[bytes]:
        yield y
        time.sleep(1.5)
        yield y
        time.sleep(0.4)

    said = moments(model, Source("stream", True, chunks()), Pcm("s16le", SR, 1), step_s=0.3)
    gaps = [m for m in said if m.gap_s]
    assert gaps and all(m.estimate is None for m in gaps)
    assert said[0].estimate is not None and said[-1].estimate is not None
    assert said[-1].gap_s == 0 and said[-1].window_s == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize(
    ("stated", "sent", "reason"),
    [
        (None, 1.0, "has closed the stream"),
        (1.0, 0.5, "broke off before the end"),
        (1.0, 1.0, ""),
    ],
)
def test_a_stream_that_ends_says_how(
    here: Here, song: Path, stated: float | None, sent: float, reason: str
) -> None:
    data = song.read_bytes()
    n = None if stated is None else int(stated * len(data))
    with on_air(data[: int(sent * len(data))], bytes_s=6e5, stated=n) as radio:
        ran = here("listen", "--json", radio.address.decode())
    assert ran.lines and ran.lines[-1]["at_s"] > 15
    assert ran.code == (1 if reason else 0)
    assert reason in ran.err and len(ran.err.splitlines()) == bool(reason)


def test_what_cannot_be_listened_to_ends_with_a_sentence(here: Here, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Not music at all.\n" * 1000)
    (tmp_path / "list.m3u").write_text("#EXTM3U\nhttp://127.0.0.1:9/a.mp3\n")
    with on_air(b"", bytes_s=1e6, status=404) as radio:
        ran = here("listen", radio.address.decode())
        assert ran.code == 3 and "the server answers 404" in ran.err
    with on_air((tmp_path / "text.txt").read_bytes(), bytes_s=1e6) as radio:
        ran = here("listen", radio.address.decode())
        assert ran.code == 3 and len(ran.err.splitlines()) == 1, ran.err
    for source, code, said in (
        (radio.address.decode(), 3, "cannot be reached: connection refused"),
        (tmp_path / "list.m3u", 3, "is a playlist"),
        (tmp_path / "nosuch.mp3", 3, "nosuch.mp3: cannot read it: there is no such file"),
        (tmp_path, 3, "not a regular file"),
        ("rtsp://127.0.0.1/a", 2, "http:// or https://"),
        ("http://", 3, "no host given"),
    ):
        ran = here("listen", source)
        assert (ran.code, ran.out) == (code, "") and said in ran.err, ran.err


def test_who_tunes_in_amid_a_frame_hears_soon(model: GenreModel, song: Path) -> None:
    source = Source("stream", False, pieces(song.read_bytes()[1234:48_000], 1000))  # 3 seconds
    assert moments(model, source)[-1].at_s > 2


def test_a_file_of_nothing_yet_is_waited_for(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagger.live.GAP_S", 0.0)
    monkeypatch.setattr("tagger.live.follow", functools.partial(follow, step_s=0.2))
    monkeypatch.setattr("tagger.live.sources.open_source", functools.partial(open_source, give_up_s=1.0))
    (tmp_path / "empty.mp3").touch()
    ran = here("listen", tmp_path / "empty.mp3")
    assert ran.code == 3 and "nothing has come in" in ran.err
    assert set(ran.out.splitlines()) == {"  0:00  no sound yet"}


def test_a_growing_file_is_followed_until_it_rests(model: GenreModel, song: Path, tmp_path: Path) -> None:
    data = song.read_bytes()
    growing = tmp_path / "growing.mp3"
    growing.write_bytes(data[: len(data) // 2])

    def grow() -> None:
        with growing.open("ab") as file:
            for piece in pieces(data[len(data) // 2 :], len(data) // 10):
                time.sleep(0.2)
                file.write(piece)
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    said = moments(model, open_source(os.fsencode(growing), give_up_s=1.5), step_s=0.4)
    writer.join()
    assert said[0].at_s < 35 and max(m.at_s for m in said) == pytest.approx(40, abs=1)


def test_a_file_that_is_cut_short_ends_the_listening(model: GenreModel, song: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(song.read_bytes())
    heard = follow(open_source(os.fsencode(cut)), model, lambda h: decide(h, model.card), step_s=0.3)
    next(heard)
    os.truncate(cut, 1000)
    with pytest.raises(AudioError, match="cut short"):
        list(heard)


def test_the_command_hears_standard_input_and_ends_with_130(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tagger", "listen", "-", "--pcm", "s16le:22050:1", "--json"],
        env=environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(raw(media.music(3, SR, 1)[:, 0]))
    process.stdin.flush()
    line = json.loads(process.stdout.readline())
    assert line["at_s"] == 2 and line["genres"] and line["latency_s"] < 2.5
    process.send_signal(signal.SIGINT)
    started_s = time.monotonic()
    assert process.wait(30) == 130  # while it waits for sound, and standard input is open
    assert time.monotonic() - started_s < 5
    said = process.stderr.read().decode().strip()
    assert said.startswith("tagger: Interrupted") and len(said.splitlines()) == 1
    process.stdin.close()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of POSIX")
def test_a_terminal_shows_one_picture_that_changes(song: Path, tmp_path: Path) -> None:
    screen, terminal = os.openpty()
    with song.open("rb") as music:
        done = subprocess.Popen(
            [sys.executable, "-m", "tagger", "listen", "-", "--threshold", "0"],
            env=environment(tmp_path) | {"TERM": "xterm"}, stdin=music, stdout=terminal, stderr=terminal,
        )  # fmt: skip
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # Linux's word for a terminal that was closed
            while piece := os.read(screen, 4096):
                shown += piece
        assert done.wait(60) == 0
    os.close(screen)
    assert b"waiting for sound" in shown and b"0:38" in shown and b"#####" in shown
    assert shown.count(b"\x1b[1A") > 18  # written over and over in the same place


def test_the_genre_above_is_given_where_none_is_sure_enough(here: Here, song: Path, tmp_path: Path) -> None:
    above = "\n".join(f'{label} = "Everything"' for label in load_model(shipped_model_dir()).card.genres)
    config = tmp_path / "config.toml"
    config.write_text(f"threshold = 0.999\nwrite_parents = true\n[parents]\n{above}\n", encoding="utf-8")
    with on_air(song.read_bytes()[:160_000], bytes_s=1e6, stated=160_000) as radio:
        ran = here("listen", "--json", "--config", config, radio.address.decode())
    assert ran.code == 0, ran.err
    last = ran.lines[-1]
    assert (last["genre"], last["reason"]) == ("Everything", "") and max(last["genres"].values()) < 0.999


def test_lines_for_people(here: Here, song: Path) -> None:
    with on_air(song.read_bytes()[:160_000], bytes_s=1e6, stated=160_000) as radio:
        ran = here("listen", "--threshold", "0", radio.address.decode())
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1].startswith("  0:")
