"""From a file to what the model heard, and the worker's promise: a report, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tagger import classify
from tagger.classify import analyse, listen
from tagger.errors import AudioError, ModelError, RefusedError, TagError, TimeLimitError
from tagger.feature_config import FeatureConfig
from tagger.features import chunks, log_mel, normalise
from tagger.pooling import pooled_dims
from tagger.tracks import FileTags, GenreState, Heard, ListenTask, Status
from tests import media

CONFIG = FeatureConfig()
TAGS = FileTags("made", GenreState(("Rock",)), ("Rock",))


@dataclass(frozen=True)
class Card:
    features: FeatureConfig = CONFIG
    genres: tuple[str, ...] = ("low", "high", "loudness")


@dataclass
class Ears:
    """A model that only averages: simple enough to know what it must say, and it keeps what it was given."""

    card: Card = field(default_factory=Card)
    given: list[NDArray[np.float32]] = field(default_factory=list)

    def predict(self, chunks: NDArray[np.float32], /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert chunks.dtype == np.float32
        self.given.append(chunks)
        mean = chunks.mean(axis=1)
        logits = np.stack([mean[:, :64].mean(axis=1), mean[:, 64:].mean(axis=1), mean.std(axis=1)], axis=1)
        return logits, mean[:, ::16]


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Ears:
    """The worker hears with these, and tags are whatever the test says."""
    model = Ears()
    monkeypatch.setattr(classify, "_model", lambda _directory: model)
    monkeypatch.setattr("tagger.tags.read_tags", lambda _path: TAGS)
    return model


def hear(path: bytes, **task: Any) -> Heard:
    heard = listen(ListenTask(path, "nowhere", **task))
    assert heard.path == path
    assert (heard.failure is None) == (heard.reason == "")
    assert not (heard.failure and heard.analysis)
    assert "\n" not in heard.reason
    return heard


# ---- analyse -------------------------------------------------------------------------------------------


def test_all_chunks_of_all_segments_in_time_order(tmp_path: Path) -> None:
    path = media.make(tmp_path / "x.flac", "flac", seconds=70, sr=22050, channels=1, seed=2)
    y = np.round(media.music(70, 22050, 1, seed=2)[:, 0] * 32768) / 32768
    expected = np.concatenate(
        [chunks(normalise(log_mel(y[at : at + 661500], CONFIG)), CONFIG) for at in (0, 661500, 1323000)]
    )
    model = Ears()
    got = analyse(path, model)
    assert [len(given) for given in model.given] == [13, 13, 4]  # 30, 30 and 10 seconds
    np.testing.assert_allclose(np.concatenate(model.given), expected, atol=0.02)
    logits, embedding = Ears().predict(expected)
    np.testing.assert_allclose(got.activations, logits, atol=2e-3)
    n_dims = embedding.shape[1]
    assert got.embedding.shape == (pooled_dims(n_dims),)
    np.testing.assert_allclose(got.embedding[:n_dims], embedding.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(got.embedding[n_dims : 2 * n_dims], embedding.std(axis=0), atol=1e-3)
    assert got.activations.dtype == np.float16
    assert got.embedding.dtype == np.float32
    assert got.duration_s == got.analysed_s == pytest.approx(70)
    assert not got.short
    assert got.abstain == ""


@pytest.mark.parametrize("container", ["mp3", "m4a-aac", "ogg-opus", "wav"])
def test_the_same_twice(tmp_path: Path, container: str) -> None:
    path = media.make(tmp_path / "x", container, seconds=9)
    first, second = analyse(path, Ears()), analyse(path, Ears())
    np.testing.assert_array_equal(first.activations, second.activations)
    np.testing.assert_array_equal(first.embedding, second.embedding)


def test_a_tail_shorter_than_a_chunk_is_left_out(tmp_path: Path) -> None:
    model = Ears()
    got = analyse(media.make(tmp_path / "x.flac", "flac", seconds=33), model)
    assert len(got.activations) == 13
    assert got.analysed_s == pytest.approx(33)
    assert not got.short


@pytest.mark.parametrize(("seconds", "n_chunks"), [(0.55, 1), (2.0, 1), (3.9, 1), (4.1, 1), (6.2, 2)])
def test_a_short_track_is_one_repeated_chunk(tmp_path: Path, seconds: float, n_chunks: int) -> None:
    model = Ears()
    got = analyse(media.make(tmp_path / "x.flac", "flac", seconds=seconds), model)
    assert got.activations.shape == (n_chunks, 3)
    assert got.short == (seconds < 4)
    assert got.abstain == ""
    n_frames = 1 + int(seconds * 22050) // 1708
    if got.short:
        (chunk,) = model.given[0]
        np.testing.assert_array_equal(chunk, chunk[np.arange(52) % n_frames])


@pytest.mark.parametrize(
    ("seconds", "signal", "abstain"),
    [
        (0.4, "music", "too little sound"),
        (1 / 44100, "music", "too little sound"),
        (10, "silence", "silence"),
        (40, "silence", "silence"),
    ],
)
def test_no_genre_without_music(tmp_path: Path, seconds: float, signal: str, abstain: str) -> None:
    got = analyse(media.make(tmp_path / "x.flac", "flac", seconds=seconds, signal=signal), Ears())
    assert got.abstain == abstain
    assert got.activations.shape == (0, 3)
    assert got.embedding.shape == (0,)


def test_dither_is_silence_and_quiet_music_is_not(tmp_path: Path) -> None:
    dither = np.random.default_rng(0).integers(-2, 3, 10 * 44100) / 32768
    assert analyse(media.make(tmp_path / "a.flac", "flac", signal=dither), Ears()).abstain == "silence"
    quiet = media.music(10, channels=1)[:, 0] * 0.01
    assert analyse(media.make(tmp_path / "b.flac", "flac", signal=quiet), Ears()).abstain == ""


def test_silent_segments_say_nothing(tmp_path: Path) -> None:
    """A hidden track after half a minute of silence."""
    y = np.concatenate([np.zeros(30 * 22050, np.float32), media.music(30, 22050, 1)[:, 0]])
    got = analyse(media.make(tmp_path / "x.flac", "flac", signal=y, sr=22050, channels=1), Ears())
    assert len(got.activations) == 13
    assert got.abstain == ""
    assert got.duration_s == pytest.approx(60)


def test_samples_that_are_no_numbers(tmp_path: Path) -> None:
    y = media.music(10)
    for bad in (np.nan, np.inf, -np.inf, 1e30):
        some = y.copy()
        some[: 44100 * 2] = bad
        with pytest.raises(AudioError, match=r"x\.wav.*not numbers"):
            analyse(
                media.make(tmp_path / "x.wav", "wav-float", signal=np.concatenate([y, y, y, some])),
                Ears(),
            )
        every = np.full_like(y, bad)
        got = analyse(media.make(tmp_path / "y.wav", "wav-float", signal=every), Ears())
        assert got.abstain == "no valid samples"
        one = y.copy()
        one[200_000] = bad
        got = analyse(media.make(tmp_path / "z.wav", "wav-float", signal=one), Ears())
        assert got.abstain == ""
        assert np.isfinite(got.activations).all()


@pytest.mark.parametrize("scale", [0.1, 32768.0, 2.0**31])
def test_float_files_at_any_scale(tmp_path: Path, scale: float) -> None:
    one, other = (
        analyse(media.make(tmp_path / "x.wav", "wav-float", signal=media.music(5) * np.float32(k)), Ears())
        for k in (1, scale)
    )
    np.testing.assert_allclose(one.activations, other.activations, atol=2e-3)


def test_a_bomb_is_honest_about_what_was_heard(tmp_path: Path) -> None:
    start = time.process_time()
    got = analyse(media.make_bomb(tmp_path / "x.flac"), Ears())
    assert time.process_time() - start < 3
    assert got.duration_s == pytest.approx(86400, rel=0.01)
    assert got.analysed_s < 600
    assert got.abstain == "silence"


def test_the_deadline_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(TimeLimitError):
        analyse(media.make(tmp_path / "x.mp3", "mp3"), Ears(), deadline_s=time.monotonic() - 1)


# ---- listen --------------------------------------------------------------------------------------------


def test_a_good_file(tmp_path: Path, ears: Ears) -> None:
    path = media.make(tmp_path / "x.mp3", "mp3", seconds=8)
    heard = hear(path)
    status = os.stat(path)
    assert (heard.size_bytes, heard.mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert heard.tags is TAGS
    assert heard.digest is not None
    assert len(heard.digest) == 16
    assert heard.analysis is not None
    assert len(heard.analysis.activations) == len(ears.given[0])
    assert {"decode", "mel", "cnn", "tags", "digest"} <= set(heard.seconds)
    assert all(seconds >= 0 for seconds in heard.seconds.values())


def test_known_audio_is_not_heard_again(tmp_path: Path, ears: Ears) -> None:
    path = media.make(tmp_path / "x.mp3", "mp3")
    digest = hear(path).digest
    assert digest
    ears.given.clear()
    again = hear(path, known_digests=frozenset({digest}))
    assert again.failure is None
    assert again.analysis is None
    assert again.tags is TAGS
    assert not ears.given


@pytest.mark.parametrize(
    ("make", "status", "words"),
    [
        (lambda p: media.truncate(media.make(p, "flac"), 0.5), Status.UNREADABLE, "damaged"),
        (lambda p: os.fsencode(p) * (p.write_text("a diary\n" * 99) > 0), Status.UNREADABLE, "no audio"),
        (lambda p: os.fsencode(p) * (p.write_bytes(b"") == 0), Status.UNREADABLE, "empty"),
        (lambda p: os.fsencode(p), Status.CHANGED_MEANWHILE, "not there"),
        (lambda p: os.fsencode(p) if p.mkdir() is None else b"", Status.UNREADABLE, "cannot read"),
        (media.make_video_only, Status.UNREADABLE, "no audio"),
        (media.make_lying_flac, Status.UNREADABLE, "states"),
    ],
    ids=["truncated", "text", "empty", "missing", "folder", "pictures", "lying"],
)
def test_a_bad_file_has_its_status(tmp_path: Path, ears: Ears, make: Any, status: Status, words: str) -> None:
    heard = hear(make(tmp_path / "song.mp3"))
    assert heard.failure is status
    assert words in heard.reason
    assert "song.mp3" in heard.reason


def test_a_fifo_does_not_block(tmp_path: Path, ears: Ears) -> None:
    os.mkfifo(tmp_path / "x.mp3")
    assert hear(os.fsencode(tmp_path / "x.mp3")).failure is Status.UNREADABLE


def test_the_time_limit(tmp_path: Path, ears: Ears) -> None:
    heard = hear(media.make(tmp_path / "x.mp3", "mp3"), time_limit_s=0.0)
    assert heard.failure is Status.TIMED_OUT
    assert heard.size_bytes
    assert heard.digest


def test_unreadable_tags_on_good_audio_fail_and_on_bad_audio_do_not_hide_it(
    tmp_path: Path, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: bytes) -> FileTags:
        raise TagError(f"{path!r}: its tags are broken")

    monkeypatch.setattr("tagger.tags.read_tags", refuse)
    good = hear(media.make(tmp_path / "x.flac", "flac"))
    assert good.failure is Status.FAILED
    assert "its tags are broken" in good.reason
    bad = hear(media.truncate(media.make(tmp_path / "y.flac", "flac"), 0.5))
    assert bad.failure is Status.UNREADABLE


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("no")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (AudioError("a sentence"), Status.UNREADABLE, "a sentence"),
        (TimeLimitError("a sentence"), Status.TIMED_OUT, "a sentence"),
        (RefusedError("a sentence"), Status.REFUSED, "a sentence"),
        (ModelError("a sentence"), Status.FAILED, "a sentence"),
        (MemoryError(), Status.UNREADABLE, "memory"),
        (ZeroDivisionError("x"), Status.FAILED, "ZeroDivisionError"),
        (Unpicklable("x"), Status.FAILED, "Unpicklable"),
        (SystemExit(3), Status.FAILED, "SystemExit"),
        (GeneratorExit(), Status.FAILED, "GeneratorExit"),
        (RecursionError("x"), Status.FAILED, "RecursionError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_nothing_escapes(
    tmp_path: Path,
    ears: Ears,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: Status,
    words: str,
) -> None:
    def fail(*_: object) -> Any:
        raise error

    monkeypatch.setattr(ears, "predict", fail)
    heard = hear(media.make(tmp_path / "x.flac", "flac"))
    error.__traceback__ = None  # the parameter outlives the test, and would keep the decoder alive
    assert heard.failure is status
    assert words in heard.reason
    assert heard.tags is TAGS
    assert heard.size_bytes


def test_ctrl_c_is_the_one_exception(tmp_path: Path, ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ears, "predict", interrupt)
    with pytest.raises(KeyboardInterrupt):
        listen(ListenTask(media.make(tmp_path / "x.flac", "flac"), "nowhere"))


@pytest.mark.parametrize("how", ["touched", "grown", "gone", "cut"])
def test_a_file_that_changes_while_it_is_heard(
    tmp_path: Path, ears: Ears, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = tmp_path / "x.flac"
    media.make(path, "flac", seconds=35, sr=22050)
    hearing = ears.predict

    def meddle(chunks: NDArray[np.float32]) -> Any:
        if how == "touched":
            os.utime(path, ns=(1, 1))
        elif how == "grown":
            with path.open("ab") as file:
                file.write(b"more")
        elif how == "cut":
            os.truncate(path, 9000)
        else:
            path.unlink(missing_ok=True)
        return hearing(chunks)

    monkeypatch.setattr(ears, "predict", meddle)
    heard = hear(os.fsencode(path))
    assert heard.failure is Status.CHANGED_MEANWHILE
    assert "changed while" in heard.reason


def test_a_missing_model_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagger.tags.read_tags", lambda _path: TAGS)
    path = media.make(tmp_path / "x.flac", "flac")
    heard = listen(ListenTask(path, str(tmp_path / "no-model")))
    assert heard.failure is Status.FAILED
    assert "no-model" in heard.reason


def test_a_name_that_is_not_utf8(tmp_path: Path, ears: Ears) -> None:
    path = media.make(os.path.join(os.fsencode(tmp_path), b"\xe9\n.mp3"), "mp3")
    assert hear(path).failure is None
    heard = hear(media.truncate(path, 0.3))
    assert heard.failure is Status.UNREADABLE
    assert r"\xe9\n.mp3" in heard.reason


def test_importing_it_is_light() -> None:
    heavy = {"numpy", "scipy", "av", "mutagen", "ai_edge_litert", "librosa"}
    code = f"import sys, tagger.classify; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
