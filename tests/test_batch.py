"""The order in which tracks are listened to."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tagger.batch import LONG_BYTES, long_ones_early
from tagger.tracks import ListenTask

SIZES = st.lists(st.sampled_from([4, 9, 30, 64, 65, 300]).map(lambda megabytes: megabytes << 20), max_size=60)


def task(number: int) -> ListenTask:
    return ListenTask(path=b"%d" % number, model_dir="")


def order(sizes: Sequence[int], n_first: int) -> list[int]:
    tasks = [task(i) for i in range(len(sizes))]
    return [int(t.path) for t in long_ones_early(tasks, lambda t: sizes[int(t.path)], n_first)]


def until_done(work: Sequence[int], n_jobs: int) -> int:
    """How long it takes when whoever is free takes the next."""
    free_at = [0] * n_jobs
    for took in work:
        heapq.heappush(free_at, heapq.heappop(free_at) + took)
    return max(free_at)


@given(sizes=SIZES, n_first=st.integers(0, 16))
def test_every_track_once_the_first_stay_and_equals_keep_their_order(sizes: list[int], n_first: int) -> None:
    found = order(sizes, n_first)
    assert sorted(found) == list(range(len(sizes)))
    assert found[:n_first] == list(range(min(n_first, len(sizes))))
    rest = found[n_first:]
    long = [i for i in rest if sizes[i] >= LONG_BYTES]
    assert rest[: len(long)] == long == sorted(long)
    assert rest[len(long) :] == sorted(rest[len(long) :])


def test_a_mix_at_the_end_of_a_folder_is_not_waited_for() -> None:
    sizes = [8 << 20] * 200 + [180 << 20] * 2  # two hundred songs, two mixes of two hours
    assert until_done(sizes, 8) > 1.5 * sum(sizes) / 8
    assert until_done([sizes[i] for i in order(sizes, 16)], 8) < 1.1 * sum(sizes) / 8
