"""The shape of the program, proved from its source: who imports whom, what stays out of `tagger --help`."""

from __future__ import annotations

import ast
import functools
import graphlib
import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.scale import make_tree, remember_tree

REPO = Path(__file__).resolve().parent.parent
PACKAGES = ("tagger", "training", "dashboards", "beetsplug")

MAX_LINES = 300

LEAVES = ("tagger", "tagger.tracks", "tagger.errors")
"""They import nothing of ours."""

MET_ONLY_IN: dict[str, tuple[str, ...]] = {
    "mutagen": ("tagger.tags",),
    "joblib": ("tagger.pool",),
    "dask": (),
    "distributed": ("tagger.cluster.connection",),
    "ai_edge_litert": ("tagger.model",),
    "librosa": ("tagger.features",),
    "av": ("tagger.audio", "tagger.live.streaming"),
    "soundfile": ("tagger.audio",),
    "soxr": ("tagger.resample",),
    "sqlite_utils": ("tagger.store",),
    "sklearn": (),
    "pathspec": ("tagger.ignore",),
    "platformdirs": ("tagger.config",),
    "watchfiles": ("tagger.watch",),
    "beets": (),
    "click": ("tagger.cli",),
    "rich": ("tagger.cli",),
    "tensorflow": (),
    "keras": (),
    "pandas": (),
    "streamlit": (),
    "altair": (),
    "tinytag": (),
}
"""Where in `tagger` a library is met; a package stands for the modules in it."""

MAY_IMPORT = {
    "training": "audio bundle card classify decision errors feature_config features genres "
    "learning.reference model pooling tracks",
    "beetsplug": "bundle card classify config errors learning.heads learning.shelf model plan pool tracks",
    "dashboards": "atlas audio bundle card classify config correct decision errors explain export "
    "feature_config features files genres job labels learning.fitting learning.headcard learning.heads "
    "learning.shelf model plan pool replace review schedule similar store tags tracks undo writing",
}
"""Modules of `tagger` that the other packages use."""

KEPT_OUT_OF_HELP = (
    "numpy",
    "scipy",
    "librosa",
    "ai_edge_litert",
    "pandas",
    "av",
    "mutagen",
    "joblib",
    "sqlite_utils",
)


@functools.cache
def modules() -> dict[str, Path]:
    """Name to file of every module of ours."""
    found = {}
    for package in PACKAGES:
        for path in sorted((REPO / package).rglob("*.py")):
            parts = path.relative_to(REPO).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Everything a module imports, wherever in it the import stands; modules of ours by their full name."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    return frozenset(name for node in ast.walk(tree) for name in _imported(node, module))


def _imported(node: ast.AST, module: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module}: imports are written in full"
        assert node.module is not None
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in modules() else node.module
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
        "importlib.import_module",
        "import_module",
    ):
        name = node.args[0]
        assert isinstance(name, ast.Constant) and isinstance(name.value, str), (
            f"{module}: imports a computed name"
        )
        yield name.value


def ours(module: str) -> set[str]:
    return {name for name in imports(module) if name.partition(".")[0] in PACKAGES}


def is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def test_there_is_something_to_look_at() -> None:
    assert {"tagger.tracks", "tagger.errors", "tagger.scan", "tagger.cli"} <= set(modules())
    assert "tagger.tracks" in ours("tagger.scan")


def test_imports_run_downwards_without_circles() -> None:
    graph = {module: ours(module) & set(modules()) - {module} for module in modules()}
    try:
        order = tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail("modules that import each other: " + " <- ".join(error.args[1]))
    assert len(order) == len(modules())


def test_imports_of_ours_exist() -> None:
    missing = {f"{module} imports {name}" for module in modules() for name in ours(module) - set(modules())}
    assert not missing


def test_tracks_and_errors_import_nothing_of_ours() -> None:
    assert {leaf: ours(leaf) for leaf in LEAVES} == {leaf: set() for leaf in LEAVES}


def test_tagger_knows_nothing_of_training_and_dashboards() -> None:
    wrong = {
        f"{module} imports {name}"
        for module in modules()
        if is_within(module, ("tagger",))
        for name in ours(module)
        if not is_within(name, ("tagger",))
    }
    assert not wrong


def test_nothing_but_the_entry_point_imports_the_command_line() -> None:
    above = {m for m in modules() if any(is_within(name, ("tagger.cli",)) for name in ours(m))}
    assert {module for module in above if not is_within(module, ("tagger.cli",))} == {"tagger.__main__"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_the_other_packages_use_what_they_may(package: str) -> None:
    allowed = (package, *(f"tagger.{name}" for name in MAY_IMPORT[package].split()))
    wrong = {
        f"{module} imports {name}"
        for module in modules()
        if is_within(module, (package,))
        for name in ours(module) - {"tagger"}  # its version
        if not is_within(name, allowed)
    }
    assert not wrong


@pytest.mark.parametrize("library", MET_ONLY_IN)
def test_each_heavyweight_is_met_in_one_place(library: str) -> None:
    allowed = MET_ONLY_IN[library]
    met_in = {
        module
        for module in modules()
        if is_within(module, ("tagger",)) and any(is_within(name, (library,)) for name in imports(module))
    }
    assert {module for module in met_in if not is_within(module, allowed)} == set()


def test_no_module_is_too_long() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_every_module_says_what_it_is() -> None:
    silent = [n for n, path in modules().items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


_HELP = """
import json, runpy, sys
sys.argv = ["tagger", "--help"]
try:
    runpy.run_module("tagger", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    code = stop.code
print(json.dumps([code, sorted(sys.modules)]))
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", _HELP], cwd=REPO, capture_output=True, text=True, check=True)
    said, _, last = done.stdout.rstrip("\n").rpartition("\n")
    code, loaded = json.loads(last)
    assert not code and "Usage: " in said
    assert "click" in loaded
    assert [name for name in KEPT_OUT_OF_HELP if name in loaded] == []


_FIRST_TRACK = """
import sys
from tagger.store import Store
with Store.open(None) as store:
    table = store._db["t"]
    table.insert({"a": 1})
    assert list(table.rows) == [{"a": 1}]
assert "pandas" not in sys.modules
import pandas
assert pandas.DataFrame({"a": [1]}).a.sum() == 1
"""


def test_the_first_track_that_is_written_does_not_import_pandas() -> None:
    """sqlite-utils would, for half a second of each run; who wants it later finds it all the same."""
    done = subprocess.run([sys.executable, "-c", _FIRST_TRACK], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


_NIGHT = """
import json, runpy, sys
sys.argv = ["tagger", "run", "--quiet", "--db", sys.argv[1], sys.argv[2]]
try:
    runpy.run_module("tagger", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    code = stop.code
print(json.dumps([code, sorted(sys.modules)]))
"""


def test_a_night_with_nothing_to_do_imports_nothing_heavy(tmp_path: Path) -> None:
    """Reading numpy and mutagen takes as long as looking through 20,000 files."""
    make_tree(tmp_path / "music", 30)
    remember_tree(tmp_path / "tagger.db", tmp_path / "music", tmp_path)

    def night() -> tuple[int | None, list[str]]:
        done = subprocess.run(
            [sys.executable, "-c", _NIGHT, str(tmp_path / "tagger.db"), str(tmp_path / "music")],
            cwd=REPO, capture_output=True, text=True, check=True,
        )  # fmt: skip
        code, loaded = json.loads(done.stdout)
        return code, [name for name in KEPT_OUT_OF_HELP if name in loaded]

    assert night() == (0, [])
    (tmp_path / "music" / "Artist 0" / "Album 0" / "01 Title 0.mp3").write_bytes(b"no music")
    code, loaded = night()
    assert code == 1 and "numpy" in loaded, "it was looked for in vain"


def test_help_is_quick() -> None:
    """Under 0.3 s, in seconds of the processor: others may be using it too."""

    def spent_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    durations = []
    for _ in range(5):
        before = spent_s()
        subprocess.run([sys.executable, "-m", "tagger", "--help"], cwd=REPO, capture_output=True, check=True)
        durations.append(spent_s() - before)
    assert min(durations) < 0.3, durations


@functools.cache
def text_files() -> dict[str, str]:
    """Name to text of every file of the repository that is text."""
    if shutil.which("git") is None or not (REPO / ".git").exists():
        pytest.skip("not a git checkout: which files belong to the repository is not known")
    listed = subprocess.run(["git", "-C", str(REPO), "ls-files", "-z"], capture_output=True, check=True)
    texts = {}
    for name in listed.stdout.decode().split("\0"):
        path = REPO / name
        if name and path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                texts[name] = content.decode("utf-8")
    return texts


def test_no_path_of_a_machine_is_in_the_repository() -> None:
    places = "|".join(("work", "opt", "root", "Users"))
    somebodys = re.compile(rf"(?<![\w.~])(?:/(?:{places})/\w|[A-Z]:\\Users)")
    found = {
        f"{name}: {line.strip()}"
        for name, text in text_files().items()
        for line in text.splitlines()
        if somebodys.search(line) or (len(REPO.parts) > 2 and str(REPO) in line)
    }
    assert not found
