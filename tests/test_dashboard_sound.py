"""Sound and pictures for the browser: what may be served, what is made playable, where a chunk stands."""

from __future__ import annotations

import io
import os
import struct
import wave
import zlib
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("pandas")

from dashboards import listening, palette, pictures, timeline, trackcharts
from tagger.classify import analyse
from tagger.errors import AudioError, RefusedError
from tagger.explain import chunk_starts, heard_in_part
from tagger.feature_config import FeatureConfig
from tagger.features import log_mel
from tagger.store import Store
from tagger.store.rows import TrackRow
from tagger.tracks import Status
from tests import media
from tests.collections_made import GENRES, Made, make_database

PLAYED_AS_IS = {
    "mp3": "audio/mpeg", "flac": "audio/flac", "ogg-vorbis": "audio/ogg", "ogg-opus": "audio/ogg",
    "ogg-flac": "audio/ogg", "m4a-aac": "audio/mp4", "wav": "audio/wav", "aac": "audio/aac",
}  # fmt: skip
MADE_PLAYABLE = ("m4a-alac", "aiff", "wma", "wv", "tta", "dsf", "wav-float")


def row_of(tmp_path: Path, path: bytes, root: bytes) -> TrackRow:
    (track_id,) = make_database(tmp_path / "t.db", [Made(path)], root=root)
    with Store.open(tmp_path / "t.db", read_only=True) as store:
        row = store.track(track_id)
    assert row is not None
    return row


@pytest.mark.parametrize("container", PLAYED_AS_IS)
def test_what_browsers_play_is_served_as_it_is(tmp_path: Path, container: str) -> None:
    path = tmp_path / "track"
    media.make(path, container, seconds=2)
    found = listening.playable_file(os.fsencode(path))
    assert (found.data, found.mime, found.note) == (path.read_bytes(), PLAYED_AS_IS[container], "")


@pytest.mark.parametrize("container", MADE_PLAYABLE)
def test_the_rest_becomes_a_preview(tmp_path: Path, container: str) -> None:
    path = tmp_path / "track"
    media.make(path, container, seconds=2)
    found = listening.playable_file(os.fsencode(path))
    assert found.mime == "audio/wav" and "preview" in found.note
    with wave.open(io.BytesIO(found.data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44100)
        assert file.getnframes() / 44100 == pytest.approx(2, abs=0.15)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.abs(samples).max() > 3000, "the preview is silent"


def test_a_long_preview_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "PREVIEW_S", 3.0)
    path = tmp_path / "track"
    media.make(path, "aiff", seconds=8)
    found = listening.playable_file(os.fsencode(path))
    with wave.open(io.BytesIO(found.data)) as file:
        assert file.getnframes() == 3 * 44100
    assert "first" in found.note


def test_what_comes_before_the_damage_has_a_spectrogram(tmp_path: Path) -> None:
    """Of a FLAC file that lacks its end, shorter than a segment."""
    path = tmp_path / "t.flac"
    media.make(path, "flac", seconds=20)
    path.write_bytes(path.read_bytes()[:-4000])
    mel, seconds = listening.mel_of(os.fsencode(path), FeatureConfig())
    assert 14 < seconds < 20 and len(mel) > 150


def test_a_huge_file_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "track"
    media.make(path, "flac", seconds=2)
    monkeypatch.setattr(listening, "MAX_PLAIN_BYTES", 1000)
    found = listening.playable_file(os.fsencode(path))
    assert found.mime == "audio/wav" and "large" in found.note


def test_of_a_damaged_file_the_sound_part_plays(tmp_path: Path) -> None:
    path = tmp_path / "track.tta"
    media.make(path, "tta", seconds=25)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    try:
        found = listening.playable_file(os.fsencode(path))
    except AudioError:
        return  # refused at once is as good
    with wave.open(io.BytesIO(found.data)) as file:
        assert 0 < file.getnframes() < 25 * 44100


@pytest.mark.parametrize("content", [b"", b"no music at all" * 50, b"#!/bin/sh\necho hello\n"])
def test_what_is_no_music_is_never_served(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(AudioError):
        listening.playable_file(os.fsencode(path))


def test_only_files_below_their_scanned_folder_are_served(tmp_path: Path) -> None:
    root, outside = tmp_path / "music", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    media.make(outside / "secret.mp3", "mp3", seconds=1)
    media.make(root / "song.mp3", "mp3", seconds=1)
    (root / "link.mp3").symlink_to(outside / "secret.mp3")
    (root / "inner.mp3").symlink_to(root / "song.mp3")
    (root / "folder.mp3").symlink_to(outside)
    os.mkfifo(root / "pipe.mp3")
    good = row_of(tmp_path, os.fsencode(root / "song.mp3"), os.fsencode(root))
    assert listening.playable(good).data == (root / "song.mp3").read_bytes()
    assert listening.playable(replace(good, path=os.fsencode(root / "inner.mp3"))).mime == "audio/mpeg"
    refused = [
        root / "link.mp3",
        root / "folder.mp3",
        root / "folder.mp3" / "secret.mp3",
        root / ".." / "outside" / "secret.mp3",
        outside / "secret.mp3",
        tmp_path / "music-of-others.mp3",
        root / "pipe.mp3",
        root / "gone.mp3",
        root,
        Path("/dev/zero"),
        Path("/etc/passwd"),
    ]
    for path in refused:
        with pytest.raises(RefusedError):
            listening.playable(replace(good, path=os.fsencode(path)))
    for changed in ({"missing_since_ns": 1}, {"status": Status.CRASHED}):
        with pytest.raises(RefusedError):
            listening.playable(replace(good, **changed))  # type: ignore[arg-type]
        with pytest.raises(RefusedError):
            listening.file_of(replace(good, **changed))  # type: ignore[arg-type]  # for the spectrogram


def test_the_picture_is_the_mel(tmp_path: Path) -> None:
    path = tmp_path / "t.wav"
    media.make(path, "wav", seconds=3)
    config = FeatureConfig()
    mel, seconds = listening.mel_of(os.fsencode(path), config)
    assert seconds == pytest.approx(3, abs=0.05) and mel.shape == (1 + int(seconds * 22050) // 1708, 128)
    levels = decode_png(pictures.spectrogram_png(mel))
    assert levels.shape == (128, len(mel))
    loudest = np.unravel_index(mel.argmax(), mel.shape)
    assert levels[127 - loudest[1], loudest[0]] == 255 and levels.min() == 0


def test_a_long_picture_is_narrow() -> None:
    mel = np.tile(np.linspace(-80, 0, 5000, dtype=np.float32)[:, None], (1, 8))
    levels = decode_png(pictures.spectrogram_png(mel))
    assert levels.shape == (8, pictures.MAX_COLUMNS)
    assert (np.diff(levels[0].astype(int)) >= 0).all()
    flat = decode_png(pictures.spectrogram_png(np.zeros((4, 3), np.float32)))
    assert flat.shape == (3, 4) and not flat.any()


def decode_png(png: bytes) -> np.ndarray:  # type: ignore[type-arg]
    """Pixels of a picture, by ffmpeg as an independent reader for the size and by hand for the levels."""
    with av.open(io.BytesIO(png)) as file:
        (frame,) = file.decode(video=0)
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(frame.height, frame.width + 1)
    return rows[:, 1:]


class _Listener:
    """A model that remembers nothing and says the number of the chunk."""

    def __init__(self) -> None:
        self.n = 0

        class Card:
            features = FeatureConfig()
            genres = GENRES

        self.card = Card()

    def predict(self, chunks: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
        return np.zeros((len(chunks), len(GENRES)), np.float32), np.zeros((len(chunks), 4), np.float32)


@pytest.mark.parametrize("seconds", [1, 3.9, 4.2, 29.9, 30, 34.5, 61])
def test_every_chunk_has_its_second(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "t.wav"
    media.make(path, "wav", seconds=seconds, channels=1, sr=22050)
    analysis = analyse(os.fsencode(path), _Listener())
    starts, exact = chunk_starts(len(analysis.activations), analysis.analysed_s, FeatureConfig())
    assert exact and len(starts) == len(analysis.activations)
    assert (np.diff(starts) > 0).all() and starts.max(initial=0) <= max(seconds - 3.9, 0)


def test_segments_heard_here_and_there_stand_where_they_are() -> None:
    config = FeatureConfig()
    starts, exact = chunk_starts(26, 60.0, config, duration_s=245.0)
    assert exact and starts[0] == 60 and starts[13] == 180  # the third and the seventh of eight
    assert heard_in_part(60.0, 245.0, config)
    assert not heard_in_part(245.0, 245.0, config)
    assert not heard_in_part(60.0, 60.0, config) and not heard_in_part(60.0, 74.0, config)


def test_after_silence_the_seconds_are_a_guess() -> None:
    starts, exact = chunk_starts(20, 120.0, FeatureConfig())
    assert not exact and len(starts) == 20 and starts[0] == 0 and starts[-1] < 120


def test_the_timeline_sums_to_one_and_is_never_long() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(len(GENRES)), 5000)
    starts, _ = chunk_starts(5000, 3 * 3600.0, FeatureConfig())
    frame = timeline.timeline(p, GENRES, starts, 3 * 3600.0, FeatureConfig())
    assert frame["second"].nunique() <= timeline.MAX_POINTS + 2
    assert frame["second"].min() == 0 and frame["second"].max() == 3 * 3600
    assert frame.groupby("second")["p"].sum().to_numpy() == pytest.approx(1)
    assert frame["genre"].nunique() == timeline.MAX_GENRES + 1 and timeline.OTHER in set(frame["genre"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (65.4, "1:05"), (59.9, "1:00"), (3723, "1:02:03"), (None, "–"), (float("nan"), "–")],
)
def test_clock(seconds: float | None, text: str) -> None:
    assert timeline.clock(seconds) == text


def test_a_second_is_not_labelled_twice() -> None:
    assert trackcharts._seconds_axis(2.0).to_dict()["axis"]["tickMinStep"] == 1


def test_frequencies_stand_at_their_bands() -> None:
    config = FeatureConfig()
    ticks = {name: band for band, name in timeline.mel_ticks(config).items()}
    for hz, name in ((500, "500 Hz"), (2000, "2 kHz"), (8000, "8 kHz")):
        y = np.sin(2 * np.pi * hz * np.arange(22050) / 22050).astype(np.float32)
        assert abs(int(log_mel(y, config).mean(axis=0).argmax()) - ticks[name]) <= 1


# Machado, Oliveira & Fernandes 2009: complete protanopia, deuteranopia, tritanopia.
BLIND = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> np.ndarray:  # type: ignore[type-arg]
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    m1 = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
    m2 = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    return np.asarray(m2) @ np.cbrt(np.clip(np.asarray(m1) @ rgb, 0, None))


@pytest.mark.parametrize("sight", BLIND)
def test_everybody_can_tell_the_genres_apart(sight: str) -> None:
    seen = [oklab(np.clip(np.asarray(BLIND[sight]) @ linear(c), 0, 1)) for c in palette.GENRES.values()]
    least = min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i])
    assert least > 0.095, least  # 0.02 is just noticeable side by side


def test_genres_stand_out_from_both_pages() -> None:
    for name, colour in palette.GENRES.items():
        light = float(linear(colour) @ [0.2126, 0.7152, 0.0722]) + 0.05
        assert 1.05 / light > 1.7 and light / 0.055 > 1.9, name


def test_a_genre_keeps_its_colour() -> None:
    assert palette.colour("Hip-Hop") == palette.colour("hiphop") == palette.GENRES["hiphop"]
    assert palette.colour("my own genre") == palette.colour("My Own Genre")
    assert palette.colour("") == palette.NO_GENRE
    assert len(set(palette.GENRES.values())) == len(palette.GENRES) == 11
