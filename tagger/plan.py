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
from tagger.tracks import ExtraTag, FileTags, GenreEstimate, GenreState, Status, WriteMode


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """How estimates become genres in files.

    `threshold` and `margin` replace the model card's where given (0-1); `names` maps a label to the name
    written, the empty name to none; `whitelist`, where given, holds the only names that may be written.
    """

    mode: WriteMode = WriteMode.MISSING
    threshold: float | None = None
    margin: float | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    whitelist: tuple[str, ...] = ()
    extra_tags: tuple[ExtraTag, ...] = ()
    """Fields that are written along with a genre. They decide nothing, so they are no part of the key."""

    def key(self, model_id: str) -> str:
        """16 hexadecimal digits: a track decided under the same key, and unchanged, needs no new decision."""
        parts = [model_id, self.mode, self.threshold, self.margin, sorted(self.names.items()), self.whitelist]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def policy_of(config: Config) -> WritePolicy:
    """What a user's settings say about writing."""
    return WritePolicy(
        config.mode, config.threshold, config.margin, config.genres, config.whitelist, config.extra_tags
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall become of one file. `after` holds the genres it is to have, None where it is left alone;
    `status` is then the track's outcome, else the one it has once the edit is written."""

    status: Status
    reason: str
    genre: str | None = None
    after: tuple[str, ...] | None = None


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
    name = None
    if estimate.genre is not None:
        name = display_name(estimate.genre, policy.names, whitelist=policy.whitelist)
    sounds = estimate.reason
    if estimate.genre is not None:
        sounds = f"sounds like {name or estimate.genre} ({estimate.confidence:.2f})"
    has = ", ".join(tags.genres)
    if has and policy.mode is WriteMode.MISSING:
        return Plan(Status.KEPT, f"has {has}; {sounds}", name)
    if has and policy.mode is WriteMode.OWN and tags.state != own:
        return Plan(Status.KEPT, f"has {has}, which somebody else wrote; {sounds}", name)
    if name is None:
        unwanted = ", which the configuration says not to write" if estimate.genre else ""
        return Plan(Status.UNCERTAIN, f"{sounds}{unwanted}")
    if policy.mode is WriteMode.APPEND:
        if any(same_genre(name, genre) for genre in tags.genres):
            return Plan(Status.UNCHANGED, f"has {has} already", name)
        # Genres that only an ID3v1 byte holds are spelled out, or the new one would hide them.
        return Plan(Status.TAGGED, sounds, name, (*(tags.state.values or tags.genres), name))
    if tags.genres == (name,):
        return Plan(Status.UNCHANGED, f"has {has} already", name)
    return Plan(Status.TAGGED, sounds, name, (name,))
