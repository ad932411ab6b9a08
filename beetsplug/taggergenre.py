"""A plug-in for beets: `beet taggergenre`, and genres for what is imported.

tagger listens and decides; beets stays in charge: it stores the genre in its database, and writes it into
the file with its own tag library where its own settings say so. By default only tracks without a genre in
beets' database are listened to. `mode` and the names are of this plug-in's section alone, so that no setting
of `tagger run` overwrites anything here; what to listen with, how many genres a track gets and the genres
above them come from tagger's own settings where the section is silent.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beets import ui
from beets.plugins import BeetsPlugin

from tagger.errors import ConfigError, TaggerError
from tagger.tracks import FileTags, GenreState, ListenTask, WriteMode

if TYPE_CHECKING:
    from beets.importer import ImportSession, ImportTask
    from beets.library import Item, Library

    from tagger.card import ModelCard
    from tagger.config import Config
    from tagger.learning.heads import Head, Memory

_UserError = ui.UserError  # type: ignore[attr-defined]  # in the one place where all versions have it
_SHARED = ("model", "jobs", "threshold", "margin", "track_limit", "max_genres", "write_parents", "parents")
"""Settings of tagger that the section may hold."""
_DEFAULTS: dict[str, Any] = {"auto": True, "force": False, "mode": "missing", "whitelist": [], "names": {}}


@dataclass(frozen=True, slots=True, eq=False)
class _Ear:
    """Everything that is needed to listen and decide, read and checked once."""

    settings: Config
    model_dir: Path
    card: ModelCard
    head: Head | None
    memory: Memory | None


class TaggerGenre(BeetsPlugin):
    """Fills in missing genres by listening."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add({**_DEFAULTS, **dict.fromkeys(_SHARED)})
        self._ear: _Ear | None = None
        if self.config["auto"].get(bool):
            self.import_stages = [self._imported]
            self.register_listener("import_begin", self._import_begins)
        self.register_listener("cli_exit", self._stop)

    def commands(self) -> list[ui.Subcommand]:
        """`beet taggergenre`."""
        command = ui.Subcommand("taggergenre", help="listen to tracks and fill in missing genres")
        add = command.parser.add_option
        add("-p", "--pretend", action="store_true", help="show what would be set, and change nothing")
        add("-f", "--force", action="store_true", help="replace the genres that tracks have")
        command.func = self._command
        return [command]

    def _command(self, lib: Library, options: Any, query: list[str]) -> None:
        items = list(lib.items(query))
        force = bool(options.force) or self.config["force"].get(bool)
        n_failed = self._fill(items, force=force, pretend=bool(options.pretend), write=ui.should_write())
        if n_failed:  # beets then exits 1
            raise _UserError(f"taggergenre: {n_failed} of {len(items)} tracks failed; see above")

    def _import_begins(self, session: ImportSession) -> None:
        """A mistake in the settings ends the import before anything was imported."""
        self._ready()

    def _imported(self, _session: ImportSession, task: ImportTask) -> None:
        """A stage of the import. beets writes the files afterwards, if it writes any."""
        self._fill(task.imported_items(), force=self.config["force"].get(bool), pretend=False, write=False)

    def _fill(self, items: Sequence[Item], *, force: bool, pretend: bool, write: bool) -> int:
        """Listen to those of `items` that may get a genre, and set it; how many failed."""
        from tagger.classify import listen
        from tagger.learning.heads import judge
        from tagger.plan import plan_edit, policy_of
        from tagger.pool import listen_all

        ear = self._ready()
        settings = ear.settings
        mode = WriteMode.OVERWRITE if force else settings.mode
        policy = policy_of(replace(settings, mode=mode))
        parents = settings.parents if settings.write_parents else {}
        wanted = {os.fsencode(i.path): i for i in items if mode is not WriteMode.MISSING or not i.genres}
        tasks = [ListenTask(p, str(ear.model_dir), time_limit_s=settings.track_limit) for p in wanted]
        n_jobs = max(1, min(settings.jobs or os.cpu_count() or 1, len(tasks)))
        n_failed = 0
        done: list[Item] = []
        with closing(listen_all(tasks, worker=listen, n_jobs=n_jobs)) as reports:
            for heard in reports:
                item = wanted[heard.path]
                if heard.analysis is None:
                    n_failed += 1
                    self._log.warning("{}", heard.reason)
                    continue
                estimate = judge(
                    heard.analysis, ear.card, ear.head, ear.memory, threshold=settings.threshold,
                    margin=settings.margin, parents=parents,
                )  # fmt: skip
                genres = tuple(item.genres)
                tags = FileTags("", GenreState(genres), genres)
                plan = plan_edit(tags, estimate, policy, own=None)
                if plan.after is None:
                    self._log.info("{}: left alone: {}", item, plan.reason)
                    continue
                ui.print_(f"{item}: {', '.join(plan.after)} ({plan.reason})")
                if not pretend:
                    item.genres = list(plan.after)
                    n_failed += write and not item.try_write()
                    item.store()
                    done.append(item)
        _fill_albums(done, force=force)
        return n_failed

    def _ready(self) -> _Ear:
        """Settings and model, read when first needed."""
        if self._ear is None:
            from tagger.bundle import shipped_model_dir
            from tagger.learning.heads import memory_of
            from tagger.learning.shelf import chosen_head, heads_dir
            from tagger.model import load_model

            try:
                settings = self._settings()
                name = settings.model
                directory = Path(name) if os.sep in name else shipped_model_dir(name)
                card = load_model(directory).card
                head, unfit = chosen_head(heads_dir(settings.db), card)
                memory = memory_of(directory, card, head)
            except TaggerError as error:
                raise _UserError(f"taggergenre: {error}") from error
            if unfit:
                self._log.warning("{}", unfit)
            self._ear = _Ear(settings, directory, card, head, memory)
        return self._ear

    def _settings(self) -> Config:
        from tagger.config import load
        from tagger.config.file import checked
        from tagger.learning.shelf import with_own_model

        said: dict[str, Any] = {key: self.config[key].get() for key in _SHARED}
        said = {key: value for key, value in said.items() if value is not None}
        if isinstance(parents := said.get("parents"), dict):  # YAML has numbers where they look like them
            said["parents"] = {str(genre): parent for genre, parent in parents.items()}
        said["mode"], said["whitelist"] = self.config["mode"].get(), self.config["whitelist"].get()
        said["genres"] = {key: value or "" for key, value in self.config["names"].get(dict).items()}
        if said["mode"] not in (WriteMode.MISSING, WriteMode.APPEND):
            raise ConfigError(
                f"taggergenre.mode is {said['mode']!r}, but must be missing or append; to replace, set force."
            )
        shown = {"genres": "names"}  # what the section calls it
        values = {k: checked(k, value, f"taggergenre.{shown.get(k, k)}") for k, value in said.items()}
        for value in values.values():
            if isinstance(value, ConfigError):
                raise value
        loaded = load(None, os.environ)
        return with_own_model(loaded, replace(loaded.config, **values))

    def _stop(self, lib: Library) -> None:
        if self._ear is not None:
            from tagger.pool import stop_workers

            stop_workers()


def _fill_albums(items: Iterable[Item], *, force: bool) -> None:
    """Albums without a genre get what most of their tracks have; the tracks keep their own."""
    albums = {item.album_id: album for item in items if (album := item.get_album()) is not None}
    for album in albums.values():
        if force or not album.genres:
            count = Counter(genre for item in album.items() for genre in item.genres)
            album.genres = [genre for genre, _ in count.most_common(1)]
            album.store(inherit=False)
