"""The model contract: a bundle of card and weights, checked and then run by LiteRT on one thread.

Conventions: chunks are ``(n, chunk_frames, n_mels)`` float32 as `tagger.features.chunks` makes them; logits
``(n, n_genres)`` follow the card's order of genres; the embedding ``(n, n_dims)`` is what its
convolutions make of a chunk.
LiteRT is imported with the first model, not with this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagger.bundle import read_bundle
from tagger.card import ModelCard
from tagger.errors import ModelError

_LEAST_PROBABILITY = 1e-7


@contextmanager
def _quiet() -> Iterator[None]:
    """Send the process's stderr nowhere: LiteRT greets on it from C++ with each first model of a process.

    Whatever goes wrong is raised as an exception beside.
    """
    try:
        kept = os.dup(2)
    except OSError:  # started without a stderr: nothing to keep quiet
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class GenreModel:
    """A loaded model. Not safe for use by several threads at once; each worker process loads its own."""

    def __init__(self, card: ModelCard, weights: bytes) -> None:
        """Make the interpreter.

        Parameters
        ----------
        card : ModelCard
        weights : bytes
            A LiteRT flatbuffer, as the card's digest has it.

        Raises
        ------
        ModelError
            LiteRT refuses the weights, or their inputs and outputs are not those the card speaks of.
        """
        self.card = card
        from ai_edge_litert.interpreter import Interpreter

        try:
            with _quiet():
                interpreter = Interpreter(model_content=weights, num_threads=1)
                signatures = interpreter.get_signature_list()
                if len(signatures) != 1:
                    raise ModelError(
                        f"the weights of {card.model_id} have {len(signatures)} entry points, not one"
                    )
                self._run: Any = interpreter.get_signature_runner(next(iter(signatures)))
                self._input, self._logits, self._embedding = self._names()
                self.predict(np.zeros((1, *self._chunk_shape), dtype=np.float32))
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"the weights of {card.model_id} cannot be loaded: {reason}") from None

    @property
    def _chunk_shape(self) -> tuple[int, int]:
        return self.card.features.chunk_frames, self.card.features.n_mels

    def _names(self) -> tuple[str, str, str]:
        """Names of the input, the class output and the embedding, checked against the card."""
        card = self.card
        inputs = {name: tuple(d["shape_signature"]) for name, d in self._run.get_input_details().items()}
        if list(inputs.values()) != [(-1, *self._chunk_shape)]:
            raise ModelError(
                f"the weights of {card.model_id} take {_shapes(inputs)} and the card promises chunks of "
                f"{self._chunk_shape[0]} × {self._chunk_shape[1]}"
            )
        outputs = {name: tuple(d["shape_signature"]) for name, d in self._run.get_output_details().items()}
        if set(outputs) != {card.outputs, "embedding"} or outputs[card.outputs] != (-1, len(card.genres)):
            raise ModelError(
                f"the weights of {card.model_id} give {_shapes(outputs)} and the card promises "
                f"{card.outputs} of {len(card.genres)} genres and an embedding"
            )
        return next(iter(inputs)), card.outputs, "embedding"

    @property
    def n_dims(self) -> int:
        """Length of the embedding of a chunk."""
        return int(self._run.get_output_details()[self._embedding]["shape_signature"][1])

    def predict(self, chunks: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Hear chunks.

        Parameters
        ----------
        chunks : (n, chunk_frames, n_mels) float32
            Normalised; n may be zero.

        Returns
        -------
        logits : (n, n_genres) float32
            Uncalibrated. Of a model that gives probabilities, their logarithms.
        embedding : (n, n_dims) float32

        Raises
        ------
        ValueError
            The chunks have another shape or dtype.
        """
        if chunks.ndim != 3 or chunks.shape[1:] != self._chunk_shape or chunks.dtype != np.float32:
            raise ValueError(
                f"expected float32 chunks of {self._chunk_shape}, got {chunks.dtype} {chunks.shape}"
            )
        if not len(chunks):
            return np.empty((0, len(self.card.genres)), np.float32), np.empty((0, self.n_dims), np.float32)
        said = self._run(**{self._input: np.ascontiguousarray(chunks)})
        logits = said[self._logits]
        if self.card.outputs == "probabilities":
            logits = np.log(np.maximum(logits, _LEAST_PROBABILITY))
        return np.asarray(logits, dtype=np.float32), np.asarray(said[self._embedding], dtype=np.float32)


def _shapes(named: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(
        f"{name} {'×'.join('n' if k < 0 else str(k) for k in s)}" for name, s in sorted(named.items())
    )


def load_model(directory: str | Path) -> GenreModel:
    """Load a bundle, refusing whatever does not fit before any audio is read.

    Parameters
    ----------
    directory : str or Path

    Raises
    ------
    ModelError
        As `check_model`; or the weights do not fit the card.
    """
    return GenreModel(*read_bundle(directory))
