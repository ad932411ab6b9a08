"""What a file gets: from its tags, the estimate and the user's policy to one edit, or to the reason for none.

Pure: nothing here reads or writes anything. A model's word never clears a genre.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tagger.config import Config
from tagger.genres import display_name, same_genre
from tagger.learning.hierarchy import ancestors
from tagger.tracks import (
    ONLY_ID3V1,
    ExtraTag,
    FileTags,
    GenreEstimate,
    GenreState,
    Outcome,
    Status,
    WriteMode,
)

FURTHER = 0.15
"""Least probability of a further genre. A track's probabilities add up to 1, so a second genre can hold no
more than the first leaves: at the shipped models' thresholds 0.3 to 0.4. Of 111 held-out tracks that `gtzan`
names, 10 get a second one; the one genre they are known for is the first of 6 of them, the second of 3."""


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """How estimates become genres in files.

    `threshold` and `margin` replace the model card's where given (0-1); `names` maps a label to the name
    written, the empty name to none; `whitelist`, where given, holds the only names that may be written.
    `max_genres`, 1 or more, is how many genres a track gets at most; `parents` maps a genre to the one above
    it, which is written beside it where `write_parents` says so, and does not count.
    """

    mode: WriteMode = WriteMode.MISSING
    threshold: float | None = None
    margin: float | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    whitelist: tuple[str, ...] = ()
    extra_tags: tuple[ExtraTag, ...] = ()
    """Fields that are written along with a genre. They decide nothing, so they are no part of the key."""
    max_genres: int = 1
    parents: Mapping[str, str] = field(default_factory=dict)
    write_parents: bool = False

    def key(self, model_id: str) -> str:
        """16 hexadecimal digits: a track decided under the same key, and unchanged, needs no new decision."""
        parts: list[object] = [
            model_id, self.mode, self.threshold, self.margin, sorted(self.names.items()), self.whitelist
        ]  # fmt: skip
        if self.max_genres > 1:  # only then, so that keys of before stay what they were
            parts.append(["max_genres", self.max_genres])
        if self.write_parents and self.parents:
            parts.append(["parents", sorted(self.parents.items())])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def policy_of(config: Config) -> WritePolicy:
    """What a user's settings say about writing."""
    return WritePolicy(
        config.mode, config.threshold, config.margin, config.genres, config.whitelist, config.extra_tags,
        config.max_genres, config.parents, config.write_parents,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall become of one file. `genre` is the first of those the model gives it; `after` holds the
    genres it is to have, None where it is left alone; `status` is then the track's outcome, else the one it
    has once the edit is written."""

    status: Status
    reason: str
    genre: str | None = None
    after: tuple[str, ...] | None = None

    def outcome(self, path: bytes, estimate: GenreEstimate, before: tuple[str, ...]) -> Outcome:
        """What is told of the track, which has the genres `before` now, once the plan is carried out."""
        return Outcome(
            path=path,
            status=self.status,
            reason=self.reason,
            genre=self.genre,
            confidence=estimate.confidence,
            genres=estimate.probabilities,
            before=before,
            after=before if self.after is None else self.after,
        )


def genres_to_write(estimate: GenreEstimate, policy: WritePolicy) -> dict[str, float | None]:
    """Names of the genres a track is given, the most probable first, with the probability of each.

    The first is that of the estimate, decided on as ever; a further one must have a probability of `FURTHER`.
    Those above them come last and have no probability of their own. A first genre that the user wants in no
    file has none beside it either.

    Examples
    --------
    >>> estimate = GenreEstimate("rock", 0.7, {"rock": 0.7, "pop": 0.2, "metal": 0.1})
    >>> list(genres_to_write(estimate, WritePolicy(max_genres=3)))
    ['Rock', 'Pop']
    """
    if estimate.genre is None:
        return {}
    given = [estimate.genre]
    for label, p in estimate.probabilities.items():
        if label not in given and p >= FURTHER and len(given) < policy.max_genres:
            given.append(label)
    found: dict[str, float | None] = {}
    above: list[str] = []
    for label in given:
        name = display_name(label, policy.names, whitelist=policy.whitelist)
        if name is None and not found:
            return {}
        if name is not None and not any(same_genre(name, other) for other in found):
            found[name] = estimate.probabilities.get(label, estimate.confidence)
            above += ancestors(name, policy.parents) or ancestors(label, policy.parents)
    for parent in above if policy.write_parents else ():
        name = display_name(parent, policy.names, whitelist=policy.whitelist)
        if name is not None and not any(same_genre(name, other) for other in found):
            found[name] = None
    return found


def plan_edit(tags: FileTags, estimate: GenreEstimate, policy: WritePolicy, own: GenreState | None) -> Plan:
    """Decide on one file.

    Parameters
    ----------
    tags
        What the file holds now.
    estimate
        The model's decision.
    policy
        The user's.
    own
        The genre field as this program last wrote it, None if it never did.
    """
    found = genres_to_write(estimate, policy)
    names = tuple(found)
    if tags.state.values and tags.state.values[0].startswith(ONLY_ID3V1):
        names = names[:1]  # ID3v1 holds one
    name = names[0] if names else None
    sounds = estimate.reason
    if estimate.genre is not None:
        sounds = f"sounds like {name or estimate.genre} ({estimate.confidence:.2f})"
        sounds += "".join(f", {other} ({p:.2f})" for other, p in list(found.items())[1:] if p is not None)
    has = ", ".join(tags.genres)
    if has and policy.mode is WriteMode.MISSING:
        return Plan(Status.KEPT, f"has {has}; {sounds}", name)
    if has and policy.mode is WriteMode.OWN and tags.state != own:
        return Plan(Status.KEPT, f"has {has}, which somebody else wrote; {sounds}", name)
    if name is None:
        unwanted = ", which the configuration says not to write" if estimate.genre else ""
        return Plan(Status.UNCERTAIN, f"{sounds}{unwanted}")
    if policy.mode is WriteMode.APPEND:
        new = [name for name in names if not any(same_genre(name, genre) for genre in tags.genres)]
        if not new:
            return Plan(Status.UNCHANGED, f"has {has} already", name)
        # Genres that only an ID3v1 byte holds are spelled out, or the new one would hide them.
        return Plan(Status.TAGGED, sounds, name, (*(tags.state.values or tags.genres), *new))
    if tags.genres == names:
        return Plan(Status.UNCHANGED, f"has {has} already", name)
    return Plan(Status.TAGGED, sounds, name, names)
