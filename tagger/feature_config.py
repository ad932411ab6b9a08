"""The constants of the features, which a model card holds. Needs no numpy: see `tagger.features`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from tagger.errors import ModelError

RECIPE = "librosa log-mel, dB to own maximum, zero mean unit variance per segment; 1"
"""Part of the fingerprint: change it whenever the same values would give other numbers."""


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """The constants of the features. Frames are mel columns, one every ``hop_length`` samples."""

    sr: int = 22050
    """Samples a second, mono."""
    n_fft: int = 2048
    hop_length: int = 1708
    """77.5 ms: the spacing of the columns in the cached training arrays."""
    n_mels: int = 128
    top_db: int = 80
    chunk_frames: int = 52
    """4.03 s: what the network sees at once."""
    chunk_hop_frames: int = 26
    """2.01 s from the start of one chunk to that of the next."""
    segment_s: int = 30
    """Length over which the mel is scaled and normalised: that of the training clips."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or value <= 0:
                raise ModelError(f"the feature setting {name} must be a positive whole number, not {value!r}")
        if self.segment_samples < self.chunk_frames * self.hop_length:
            raise ModelError(
                f"a segment of {self.segment_s} s is shorter than one chunk of {self.chunk_s:.2f} s"
            )

    @property
    def segment_samples(self) -> int:
        """Samples in a full segment."""
        return self.segment_s * self.sr

    @property
    def chunk_s(self) -> float:
        """Length of a chunk."""
        return self.chunk_frames * self.hop_length / self.sr

    def fingerprint(self) -> str:
        """12 hexadecimal digits that change whenever the features would."""
        text = json.dumps({"recipe": RECIPE, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, int]:
        """Plain values, for a model card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> FeatureConfig:
        """The inverse of `to_dict`.

        Raises
        ------
        ModelError
            A name is unknown or missing, or a value is not a positive whole number.
        """
        names = {f.name for f in fields(cls)}
        if wrong := sorted(names ^ set(values)):
            raise ModelError(f"the feature settings do not fit this program: {', '.join(wrong)}")
        return cls(**values)  # type: ignore[arg-type]  # checked by __post_init__
