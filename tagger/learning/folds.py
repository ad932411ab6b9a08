"""Folds that keep artists together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_FOLDS = 5


def folds(
    group: NDArray[np.uint64], genre: NDArray[np.int64], n_folds: int = N_FOLDS, seed: int = 0
) -> NDArray[np.int64]:
    """Fold of each track, 0 to ``n_folds - 1``: groups never split, genres spread as evenly as that allows.

    The largest groups come first, equals in random order; each goes where its genres are the scarcest.
    """
    groups, of_group = np.unique(group, return_inverse=True)
    kinds, of_kind = np.unique(genre, return_inverse=True)
    table = np.zeros((len(groups), len(kinds)))
    np.add.at(table, (of_group, of_kind), 1)
    wanted = table.sum(axis=0) / n_folds
    filled = np.zeros((n_folds, len(kinds)))
    found = np.zeros(len(groups), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(groups))
    for place in order[np.argsort(-table[order].sum(axis=1), kind="stable")]:
        cost = (((filled + table[place]) / wanted) ** 2 - (filled / wanted) ** 2).sum(axis=1)
        found[place] = np.argmin(cost + 1e-6 * filled.sum(axis=1))
        filled[found[place]] += table[place]
    return np.asarray(found[of_group], dtype=np.int64)
