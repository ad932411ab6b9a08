"""One file in, what the model heard out: the worker's job, which writes nothing and never raises.

A track is cut into segments, each segment into chunks; the activations of all chunks are kept, and their
embeddings pooled (`tagger.pooling`), every chunk counting the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from tagger.errors import AudioError, ChangedMeanwhileError, RefusedError, TagError
from tagger.failures import explain_failure
from tagger.files import explain, open_regular
from tagger.tracks import FileTags, Heard, ListenTask, Status, TrackAnalysis, display

if TYPE_CHECKING:  # numpy, PyAV and LiteRT come when the first file does
    import numpy as np
    from numpy.typing import NDArray

    from tagger.feature_config import FeatureConfig

SILENT_PEAK = 10 ** (-70 / 20)
"""A segment whose loudest sample is below -70 dB of full scale is silence: only dither or hum is left."""

MIN_SOUND_S = 0.5
"""A track with less sound than this tells nothing about its genre."""


class _Card(Protocol):
    @property
    def features(self) -> FeatureConfig: ...

    @property
    def genres(self) -> tuple[str, ...]: ...


class Listener(Protocol):
    """What is needed of a model: see `tagger.model.GenreModel`."""

    @property
    def card(self) -> _Card: ...

    def predict(self, chunks: NDArray[np.float32], /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, chunk_frames, n_mels) float32 to logits (n, n_genres) and embedding (n, n_dims), float32."""
        ...


@dataclass(slots=True)
class _Notes:
    """What is known of a file so far: it goes into the report even when listening fails."""

    size_bytes: int = 0
    mtime_ns: int = 0
    digest: bytes | None = None
    tags: FileTags | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the time spent inside to that part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start


def listen(task: ListenTask) -> Heard:
    """Read one file's tags and digest and listen to it: the function that runs in the worker processes.

    Never raises (but for KeyboardInterrupt): whatever goes wrong is the report's `failure` and `reason`. A
    file whose tags cannot be read is listened to all the same, because one that cannot be decoded either is
    ``unreadable`` rather than ``failed``. The model is loaded once a process.
    """
    notes = _Notes()
    failure: Status | None = None
    reason = ""
    analysis = None
    try:
        analysis = _listen(task, notes)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a decoder must not take the worker with it
        failure, reason = explain_failure(task.path, error)
    if failure is not Status.CHANGED_MEANWHILE and notes.size_bytes and _stat(task.path) != _stat_of(notes):
        failure, analysis = Status.CHANGED_MEANWHILE, None
        reason = f"{display(task.path)}: the file changed while it was being listened to; run again"
    return Heard(
        path=task.path,
        size_bytes=notes.size_bytes,
        mtime_ns=notes.mtime_ns,
        digest=notes.digest,
        tags=notes.tags,
        analysis=None if failure else analysis,
        failure=failure,
        reason=reason,
        seconds=notes.seconds,
    )


def _listen(task: ListenTask, notes: _Notes) -> TrackAnalysis | None:
    """The analysis, or None where the digest is a known one."""
    deadline_s = time.monotonic() + task.time_limit_s
    with notes.timed("digest"):
        from tagger.formats.digest import audio_digest

        try:
            with open_regular(task.path) as file:
                status = os.fstat(file.fileno())
        except FileNotFoundError as error:
            raise ChangedMeanwhileError(f"{display(task.path)}: the file is not there any more") from error
        except (OSError, TagError) as error:
            why = explain(error) if isinstance(error, OSError) else "it is not a regular file"
            raise AudioError(f"{display(task.path)}: cannot read it: {why}") from error
        notes.size_bytes, notes.mtime_ns = status.st_size, status.st_mtime_ns
        notes.digest = audio_digest(task.path)
    trouble: TagError | None = None
    with notes.timed("tags"):
        from tagger.tags import read_tags

        try:
            notes.tags = read_tags(task.path)
        except RefusedError:  # what is in it would take ffmpeg as long as mutagen
            raise
        except TagError as error:
            trouble = error
    analysis = None
    if notes.digest not in task.known_digests:
        with notes.timed("model"):
            model = _model(task.model_dir)
        analysis = analyse(
            task.path,
            model,
            deadline_s=deadline_s,
            n_segments=task.n_segments,
            timed=notes.timed,
            spent=notes.seconds,
        )
    if trouble:
        raise trouble
    return analysis


def _stat(path: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _stat_of(notes: _Notes) -> tuple[int, int]:
    return notes.size_bytes, notes.mtime_ns


@lru_cache(maxsize=1)
def _model(directory: str) -> Listener:
    from tagger.model import load_model

    return load_model(directory)


def _untimed(_part: str) -> AbstractContextManager[None]:
    return nullcontext()


def analyse(
    path: bytes,
    model: Listener,
    *,
    deadline_s: float | None = None,
    n_segments: int = 0,
    timed: Callable[[str], AbstractContextManager[None]] = _untimed,
    spent: dict[str, float] | None = None,
) -> TrackAnalysis:
    """Listen to one track, or to some segments of it.

    Parameters
    ----------
    path : bytes
        A music file in any container that PyAV decodes.
    model : Listener
        A loaded model.
    deadline_s : float, optional
        Value of `time.monotonic` after which to give up; none by default.
    n_segments : int, optional
        How many of its segments to listen to (see `tagger.sampling`), 0 for all. All are heard too where the
        file cannot be sampled exactly.
    timed : callable, optional
        Gives the context in which a part (``decode``, ``mel``, ``cnn``…) runs, to measure it.
    spent : dict, optional
        What `timed` measures, by part: what resampling took is moved from ``decode`` to ``resample``.

    Returns
    -------
    TrackAnalysis
        `analysed_s` is the sound that was heard, `duration_s` that of the whole track: they differ where a
        limit ended the decoding early (see `tagger.audio`), or only some segments were heard. Silent segments
        contribute no chunks. The embedding is that of `tagger.pooling.pool`.

    Raises
    ------
    AudioError
        The file cannot be read or decoded completely.
    TimeLimitError
        The deadline has passed.
    """
    with timed("decode"):
        from tagger.sampling import InexactError
    if n_segments:
        with suppress(InexactError):
            return _analyse(path, model, deadline_s, n_segments, timed, spent)
    return _analyse(path, model, deadline_s, 0, timed, spent)


def _analyse(
    path: bytes,
    model: Listener,
    deadline_s: float | None,
    n_segments: int,
    timed: Callable[[str], AbstractContextManager[None]],
    spent: dict[str, float] | None,
) -> TrackAnalysis:
    with timed("decode"):
        import numpy as np

        from tagger.audio import open_recording
        from tagger.features import chunks, log_mel_of, normalise, power_spectrogram
        from tagger.measures import Measures
        from tagger.mixing import width
        from tagger.pooling import fluctuation, pool
        from tagger.sampling import sample

    config = model.card.features
    logits: list[NDArray[np.float32]] = []
    embeddings: list[NDArray[np.float32]] = []
    pulses: list[NDArray[np.float32]] = []
    measures = Measures(config)
    n_samples = 0
    short = silent = False
    with open_recording(path) as recording:
        if n_segments:
            segments = sample(recording, config, n_segments, deadline=deadline_s)
        else:
            segments = recording.segments(config, deadline=deadline_s)
        while True:
            with timed("decode"):
                y = next(segments, None)
            if y is None:
                break
            short = not n_samples and len(y) < (config.chunk_frames - 1) * config.hop_length
            n_samples += len(y)
            if np.abs(y).max() < SILENT_PEAK:
                silent = True
            else:
                with timed("mel"):
                    power = power_spectrogram(y, config)
                    mel = normalise(log_mel_of(power, config))
                    cut = chunks(mel, config, pad=short and len(y) >= MIN_SOUND_S * config.sr)
                    if len(cut):
                        pulses.append(fluctuation(cut[0] if short else mel, config))
                with timed("measures"):
                    measures.add(y, power)
                if len(cut):
                    with timed("cnn"):
                        said, embedded = model.predict(cut)
                    logits.append(said)
                    embeddings.append(embedded)
    if spent is not None:
        spent["resample"] = recording.resampling_s
        spent["decode"] = spent.get("decode", 0.0) - recording.resampling_s
    abstain = ""
    if not logits:
        abstain = "silence" if silent else "too little sound"
        if recording.broken_share > 0.5:  # a file of nothing but NaN: the damaged ones were refused
            abstain = "no valid samples"
    analysed_s = recording.decoded_s
    return TrackAnalysis(
        activations=(
            np.concatenate(logits).astype(np.float16)
            if logits
            else np.empty((0, len(model.card.genres)), dtype=np.float16)
        ),
        embedding=(
            pool(np.concatenate(embeddings), pulses, [len(e) for e in embeddings])
            if embeddings
            else np.empty(0, dtype=np.float32)
        ),
        duration_s=analysed_s if recording.complete else max(recording.stated_s or 0.0, analysed_s),
        analysed_s=analysed_s,
        short=short,
        abstain=abstain,
        **asdict(measures.of_track(width(recording.mixers))),
    )
