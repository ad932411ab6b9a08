"""R27: damaged files of every container through scan, listen and write.

Whatever a file holds: nothing but a `TaggerError` may leave, nothing may hang, take much memory or end the
process; a file that was not written is byte for byte what it was; one that was written has the same audio
and the new genre, and gives the old one back; every fifth has the extra fields, too. A child process does
the trials and is watched by its parent, so that a decoder that crashes or never returns is a finding like any
other.

`python -m tests.reliability.fuzz --log fuzz.jsonl --count 10000` runs long campaigns and goes on where its
log ends; what broke something is kept in `--keep`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import av

from tagger.bundle import shipped_model_dir
from tagger.card import ModelCard, read_card
from tagger.classify import listen
from tagger.decision import decide
from tagger.errors import TaggerError
from tagger.extras import taken_back
from tagger.files import ForgivingSource
from tagger.formats.sniff import by_content
from tagger.guard import WORKER_MEMORY_BYTES
from tagger.plan import WritePolicy, plan_edit
from tagger.replace import FileStat, write_genre
from tagger.scan import scan
from tagger.tags import read_tags
from tagger.tracks import ExtraTag, FileTags, Heard, ListenTask, Status, TagEdit, WriteMode
from tagger.writing import Subject, edit_of
from tests import media
from tests.reliability.figures import Measured, figure
from tests.reliability.mutate import mutant
from tests.reliability.program import peak_bytes

CONTAINERS = tuple(media.CONTAINERS)
TIME_LIMIT_S = 20.0
"""For one file of about a second, on a busy machine."""
HANG_S = 60.0
MOST_MEMORY_BYTES = 700 * 2**20
EXTRAS = {
    ExtraTag.CONFIDENCE: "0.87",
    ExtraTag.MODEL: "eleven@1",
    ExtraTag.VERSION: "1.2.3",
    ExtraTag.TEMPO: "128",
}
EXTRAS_EACH = 5
UNEXPECTED = ("which is a bug: please report it", "more memory than a worker may have")
"""How `listen` ends its sentence on what nobody foresaw."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that broke a promise."""

    container: str
    index: int
    kind: str
    """``escaped``, ``bug``, ``changed``, ``audio``, ``genre``, ``undo``, ``stray``, ``slow``, ``memory``,
    ``crash`` or ``hang``."""
    detail: str


@dataclass(slots=True)
class Tally:
    """What a campaign found."""

    n: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """How the trials ended: a status of listening, and whether the file was written."""
    findings: list[Finding] = field(default_factory=list)


@figure(
    "R27",
    what="mutations per container through scan, listen, write: what escaped but TaggerError, hangs, "
    "refused files changed",
    bar="0, 0, 0",
    full=10_000,
)
def fuzz(folder: Path, *, size: int) -> Measured:
    tally = campaign(folder, [(container, 0, size) for container in CONTAINERS])
    kinds = Counter(finding.kind for finding in tally.findings)
    hangs = kinds["hang"] + kinds["slow"]
    others = len(tally.findings) - hangs - kinds["changed"]
    return Measured(
        ok=not tally.findings and tally.n == size * len(CONTAINERS),
        text=f"{others}, {hangs}, {kinds['changed']} ({tally.ended['written']:,} written)",
        n=tally.n,
        notes=tuple(f"{f.container} {f.index}: {f.kind}: {f.detail}" for f in tally.findings),
    )


def campaign(folder: Path, work: Sequence[tuple[str, int, int]], log: Path | None = None) -> Tally:
    """Try mutations ``start`` to ``stop`` of each container of `work`."""
    tally = Tally()
    todo = list(work)
    while todo:
        todo = _watch(folder, todo, tally, log)
    return tally


def _watch(
    folder: Path, work: list[tuple[str, int, int]], tally: Tally, log: Path | None
) -> list[tuple[str, int, int]]:
    """Run one child until it is done or dies; what is left to do."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(os.fspath(folder), work, theirs), daemon=True)
    child.start()
    theirs.close()
    places = _places(work)
    here = next(places, None)
    waited_s = 120.0  # the first has the imports to wait for, too
    while here is not None:
        if not ours.poll(waited_s):
            finding = Finding(*here, "hang", f"no answer after {waited_s:.0f} s")
            child.kill()
        else:
            try:
                answer = ours.recv()
            except EOFError:
                child.join()
                finding = Finding(*here, "crash", f"the process ended with {child.exitcode}")
            else:
                if isinstance(answer, Exception):
                    raise answer
                ended, findings = answer
                _note(tally, log, here, ended, findings)
                here, waited_s = next(places, None), HANG_S
                continue
        _note(tally, log, here, [finding.kind], [finding])
        break
    child.join()
    ours.close()
    return _rest(work, here)


def _places(work: Sequence[tuple[str, int, int]]) -> Iterator[tuple[str, int]]:
    for container, start, stop in work:
        for index in range(start, stop):
            yield container, index


def _rest(work: list[tuple[str, int, int]], failed: tuple[str, int] | None) -> list[tuple[str, int, int]]:
    """The work behind the place where a child died."""
    if failed is None:
        return []
    at = next(i for i, (container, start, stop) in enumerate(work)
              if container == failed[0] and start <= failed[1] < stop)  # fmt: skip
    container, _, stop = work[at]
    return [(container, failed[1] + 1, stop), *work[at + 1 :]]


def _note(
    tally: Tally, log: Path | None, here: tuple[str, int], ended: list[str], findings: list[Finding]
) -> None:
    tally.n += 1
    tally.ended.update(ended)
    tally.findings += findings
    if log is not None:
        line = {
            "container": here[0],
            "index": here[1],
            "ended": ended,
            "findings": [asdict(f) for f in findings],
        }
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")


# What follows runs in the child.


def _child(folder: str, work: list[tuple[str, int, int]], answers: Connection) -> None:
    with suppress(OSError, ValueError):
        space = _address_space() + WORKER_MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (space, resource.RLIM_INFINITY))
    directory = shipped_model_dir()
    card = read_card(directory)
    limit = MOST_MEMORY_BYTES
    for container, index in _places(work):
        try:
            data = mutant(container, index)
        except Exception as error:  # a mistake of ours must not look like a finding
            answers.send(error)
            return
        with tempfile.TemporaryDirectory(dir=folder) as place:
            suffix = f".{media.CONTAINERS[container].suffix}" if index % 4 else ""
            path = os.fsencode(Path(place, f"x{suffix}"))
            Path(os.fsdecode(path)).write_bytes(data)
            started_s = time.process_time()
            ended, findings = _trial(path, os.fspath(directory), card, container, index)
            took_s = time.process_time() - started_s
        if took_s > TIME_LIMIT_S / 2:
            findings.append(Finding(container, index, "slow", f"{took_s:.1f} s of CPU"))
        peak = peak_bytes()
        if peak > limit:
            findings.append(Finding(container, index, "memory", f"{peak / 2**20:.0f} MB"))
            limit = peak + 50 * 2**20
        answers.send((ended, findings))
    answers.close()


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def trial(path: bytes, directory: str, card: ModelCard) -> list[Finding]:
    """All promises on one file, which is changed. For the corpus of what broke something once."""
    return _trial(path, directory, card, os.fsdecode(os.path.basename(path)), 0)[1]


def _trial(
    path: bytes, directory: str, card: ModelCard, container: str, index: int
) -> tuple[list[str], list[Finding]]:
    findings: list[Finding] = []

    def found(kind: str, detail: str) -> None:
        findings.append(Finding(container, index, kind, detail))

    original = _content(path)
    ended = "nothing"
    written = False
    try:
        by_content(path)
        list(scan([path]))
        heard = listen(ListenTask(path, directory, time_limit_s=TIME_LIMIT_S))
        ended = str(heard.failure or "heard")
        if heard.reason.endswith(UNEXPECTED) or heard.failure is Status.TIMED_OUT:
            found("bug", f"{heard.reason} {_what_raised(path, directory)}".removeprefix(os.fsdecode(path)))
        if heard.tags is not None:
            written = _write(path, directory, heard, heard.tags, card, index, found)
    except TaggerError:
        ended += ", refused"
    except Exception as error:
        found("escaped", f"{type(error).__name__}: {error} {_where(error)}")
    if not written and _content(path) != original:
        found("changed", "the file is not what it was")
    strays = set(os.listdir(os.path.dirname(path))) - {os.path.basename(path)}
    if strays:
        found("stray", f"{strays}")
    return [ended, *(["written"] if written else [])], findings


def _write(
    path: bytes,
    directory: str,
    heard: Heard,
    tags: FileTags,
    card: ModelCard,
    index: int,
    found: Callable[[str, str], None],
) -> bool:
    """Write a genre and take it back. A file that could not be listened to is written all the same: the more
    has been damaged, the more the writer has to withstand."""
    after: tuple[str, ...] | None = ("Some Genre",)
    if heard.analysis is not None and len(heard.analysis.activations):
        policy = WritePolicy(
            mode=(WriteMode.OVERWRITE, WriteMode.APPEND, WriteMode.MISSING)[index % 3],
            threshold=0,
            margin=0,
            max_genres=3,
            parents=dict.fromkeys(card.genres, "Music"),
            write_parents=index % 2 == 0,  # so that every second trial writes several values
        )
        after = plan_edit(tags, decide(heard.analysis, card, threshold=0, margin=0), policy, None).after
    if after is None:
        return False
    subject = Subject(path, None, FileStat.of(path), heard.digest, tags)
    edit = edit_of(subject, after, EXTRAS if index % EXTRAS_EACH == 0 else None)
    sounds = decoded(path) if heard.failure is None else None
    done = write_genre(path, edit, expected=FileStat.of(path), digest=heard.digest)
    now = read_tags(path)
    if not edit.is_done(now):
        found("genre", f"{now.state} {now.extras} instead of {edit}")
    if (now.title, now.artist, now.album, now.year) != (tags.title, tags.artist, tags.album, tags.year):
        found("genre", "other tags read differently")
    if sounds is not None and decoded(path) != sounds:
        found("audio", "the decoded audio has changed")
    again = listen(ListenTask(path, directory, frozenset({done.digest})))
    if (again.failure, again.digest) != (None, heard.digest) and heard.failure is None:
        found("audio", f"cannot be listened to any more: {again.failure} {again.reason}")
    try:
        if edit.extras:
            _and_once_more(path, now, heard, found)
        back = TagEdit(edit.after, edit.before, taken_back(edit, now.extras or {}))
        write_genre(path, back, expected=FileStat.of(path), digest=heard.digest)
        now = read_tags(path)
        if (now.state, now.extras) != (tags.state, tags.extras):
            found("undo", f"{now.state} {now.extras} instead of {tags.state} {tags.extras}")
    except TaggerError as error:
        found("undo", str(error).removeprefix(os.fsdecode(path)))
    return True


def _and_once_more(path: bytes, tags: FileTags, heard: Heard, found: Callable[[str, str], None]) -> None:
    """Replace our own genre and extra fields by others, and take that back."""
    subject = Subject(path, None, FileStat.of(path), heard.digest, tags)
    edit = edit_of(subject, ["Another Genre"], {ExtraTag.CONFIDENCE: "0.10", ExtraTag.MODEL: "another@12"})
    write_genre(path, edit, expected=subject.stat, digest=heard.digest)
    back = TagEdit(edit.after, edit.before, taken_back(edit, read_tags(path).extras or {}))
    write_genre(path, back, expected=FileStat.of(path), digest=heard.digest)
    now = read_tags(path)
    if (now.state, now.extras) != (tags.state, tags.extras):
        found("undo", f"{now.state} {now.extras} instead of {tags.state} {tags.extras}")


def decoded(path: bytes) -> str:
    """Digest over whatever ffmpeg decodes of a file, packet by packet, the undecodable ones left out."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:  # noqa: PTH123 - bytes
        try:
            with av.open(ForgivingSource(file), metadata_errors="ignore") as container:
                for packet in container.demux(container.streams.audio[0]):
                    with suppress(av.FFmpegError):
                        for frame in packet.decode():
                            digest.update(frame.to_ndarray().tobytes())
        except (av.FFmpegError, ValueError):
            pass  # what stands behind the last block of a damaged file may be our tag: samples alone count
    return digest.hexdigest()


def _content(path: bytes) -> bytes:
    return Path(os.fsdecode(path)).read_bytes()


def _what_raised(path: bytes, directory: str) -> str:
    """`listen` has put the exception in one sentence: find out which it was."""
    from tagger import classify

    try:
        classify._listen(ListenTask(path, directory, time_limit_s=TIME_LIMIT_S), classify._Notes())
    except Exception as error:
        return f"{error} {_where(error)}"
    return ""


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))


# The long campaign.


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.fuzz", description=__doc__)
    parser.add_argument("containers", nargs="*", default=CONTAINERS)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--log", type=Path, required=True, help="JSON lines; goes on where it ends")
    parser.add_argument("--keep", type=Path, help="folder for the files that broke something")
    parser.add_argument("--scratch", type=Path, help="folder to work in")
    parser.add_argument("--step", type=int, default=250, help="mutations of a container before the next one")
    arguments = parser.parse_args(argv)
    done = Counter[str]()
    if arguments.log.exists():
        for line in arguments.log.read_text().splitlines():
            row = json.loads(line)
            done[row["container"]] = max(done[row["container"]], row["index"] + 1)
    total = Tally()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        while work := [
            (name, done[name], min(done[name] + arguments.step, arguments.count))
            for name in arguments.containers
            if done[name] < arguments.count
        ]:
            tally = campaign(Path(folder), work, arguments.log)
            for name, _, stop in work:
                done[name] = stop
            total.n += tally.n
            total.findings += tally.findings
            _keep(arguments.keep, tally.findings)
            print(f"{total.n:,} trials, {len(total.findings)} findings", flush=True)
    return 1 if total.findings else 0


def _keep(folder: Path | None, findings: Sequence[Finding]) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for f in findings:
        name = f"{f.container}-{f.kind}-{f.index}.{media.CONTAINERS[f.container].suffix}"
        (folder / name).write_bytes(mutant(f.container, f.index))


if __name__ == "__main__":
    sys.exit(main())
