"""Configuration: the order of the sources, and one clear sentence for every mistake."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.cli import cli
from tagger.config import Config, default_config_path, load, load_config, problems, template
from tagger.config.settings import SETTINGS, parse_duration
from tagger.errors import ConfigError
from tagger.tracks import ExtraTag, WriteMode
from tests.inprocess import Here, here

__all__ = ["here"]

FULL = """
paths = ["/music", "~/more"]
db = "~/tagger.db"
model = "gtzan"
jobs = 3
backend = "dask"
scheduler = "tls://[::1]:8786"
map = ["/mnt/nas=/data/music", "/a=b=/c/"]
mode = "append"
threshold = 0.5
margin = 0
max_genres = 2
write_parents = true
extra_tags = ["tempo", "confidence"]
preserve_mtime = true
hardlinks = "write"
coverage = "full"
track_limit = 120
time_limit = "1h30m"
nice = true
max_load = 2
on_finish = ["~/bin/rescan", "x y"]
ignore = ["*.live.mp3", "/Audiobooks/"]
whitelist = ["Rock", "Rap"]

[genres]
hiphop = "Rap"
disco = ""

[parents]
House = "Electronic"
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "cfg"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "my.toml"


def test_a_key_for_every_field_and_a_field_for_every_key() -> None:
    assert set(SETTINGS) == {field.name for field in dataclasses.fields(Config)}


def test_nothing_said_gives_the_defaults(tmp_path: Path) -> None:
    config = load_config(None, {})
    assert config == Config()
    assert config.mode is WriteMode.MISSING and config.jobs == 0 and config.threshold is None
    if sys.platform == "linux":
        assert config.db == tmp_path / "data" / "tagger" / "tagger.db"


def test_every_key_from_a_file(file: Path, tmp_path: Path) -> None:
    file.write_text(FULL)
    config = load_config(file, {})
    assert config == Config(
        paths=(b"/music", str(tmp_path / "home" / "more").encode()),
        db=tmp_path / "home" / "tagger.db",
        model="gtzan",
        jobs=3,
        backend="dask",
        scheduler="tls://[::1]:8786",
        map=((b"/mnt/nas", b"/data/music"), (b"/a=b", b"/c")),
        mode=WriteMode.APPEND,
        threshold=0.5,
        margin=0.0,
        max_genres=2,
        write_parents=True,
        extra_tags=(ExtraTag.CONFIDENCE, ExtraTag.TEMPO),
        preserve_mtime=True,
        hardlinks="write",
        coverage="full",
        track_limit=120.0,
        time_limit=5400.0,
        nice=True,
        max_load=2.0,
        on_finish=(str(tmp_path / "home" / "bin" / "rescan"), "x y"),
        ignore=("*.live.mp3", "/Audiobooks/"),
        whitelist=("Rock", "Rap"),
        genres={"hiphop": "Rap", "disco": ""},
        parents={"House": "Electronic"},
    )


def test_every_key_from_the_environment_goes_before_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(FULL)
    monkeypatch.chdir(tmp_path)
    env = {
        "TAGGER_PATHS": "/a:b\udcff",
        "TAGGER_DB": "x.db",
        "TAGGER_MODEL": "./mine",
        "TAGGER_JOBS": "8",
        "TAGGER_BACKEND": "loky",
        "TAGGER_SCHEDULER": "tcp://nas:8786",
        "TAGGER_MAP": "/x y=/caf\udce9\n",
        "TAGGER_MODE": "own",
        "TAGGER_THRESHOLD": "0.25",
        "TAGGER_MARGIN": "1",
        "TAGGER_MAX_GENRES": "3",
        "TAGGER_WRITE_PARENTS": "false",
        "TAGGER_EXTRA_TAGS": "model, version",
        "TAGGER_PRESERVE_MTIME": "false",
        "TAGGER_HARDLINKS": "refuse",
        "TAGGER_COVERAGE": "full",
        "TAGGER_TRACK_LIMIT": "30",
        "TAGGER_TIME_LIMIT": "2h",
        "TAGGER_NICE": "true",
        "TAGGER_MAX_LOAD": "1.5",
        "TAGGER_ON_FINISH": "rescan 'x y'",
        "TAGGER_IGNORE": "*.wav\nold/",
        "TAGGER_GENRES": "hiphop=Hip Hop, metal=",
        "TAGGER_PARENTS": "House=Electronica,Bebop=Jazz",
        "TAGGER_WHITELIST": "Metal, Jazz",
    }
    assert set(env) == {f"TAGGER_{key.upper()}" for key in SETTINGS}
    here = str(tmp_path).encode()
    assert load_config(file, env) == Config(
        paths=(b"/a", here + b"/b\xff"),
        db=tmp_path / "x.db",
        model=str(tmp_path / "mine"),
        jobs=8,
        scheduler="tcp://nas:8786",
        map=((b"/x y", b"/caf\xe9"),),
        mode=WriteMode.OWN,
        threshold=0.25,
        margin=1.0,
        max_genres=3,
        extra_tags=(ExtraTag.MODEL, ExtraTag.VERSION),
        track_limit=30.0,
        time_limit=7200.0,
        nice=True,
        max_load=1.5,
        on_finish=("rescan", "x y"),
        ignore=("*.wav", "old/"),
        genres={"hiphop": "Hip Hop", "metal": ""},
        parents={"House": "Electronica", "Bebop": "Jazz"},
        whitelist=("Metal", "Jazz"),
    )


def test_options_go_before_everything(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("jobs = 3\nmode = 'append'\n")
    monkeypatch.chdir(tmp_path)
    config = load_config(file, {"TAGGER_JOBS": "4", "TAGGER_THRESHOLD": "0.2"})
    given = config.with_options(jobs=5, mode=None, paths=(b"x\xff",), ignore=(), db=Path("y.db"), model="./m")
    assert (given.jobs, given.mode, given.threshold) == (5, WriteMode.APPEND, 0.2)
    told = config.with_options(extra_tags="model,confidence")
    assert told.extra_tags == (ExtraTag.CONFIDENCE, ExtraTag.MODEL)
    assert told.with_options(extra_tags="none").extra_tags == ()
    assert given.paths == (b"x\xff",)
    assert (given.db, given.model) == (tmp_path / "y.db", str(tmp_path / "m"))
    with pytest.raises(ConfigError, match=r"^Option --track-limit is '0s', but must be a time such as"):
        config.with_options(track_limit="0s")


def test_the_environment_names_the_file(file: Path) -> None:
    file.write_text("jobs = 7\n")
    assert load_config(None, {"TAGGER_CONFIG": str(file)}).jobs == 7
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(None, {"TAGGER_CONFIG": str(file) + "x"})


def test_the_file_in_the_default_place_is_read() -> None:
    default_config_path().parent.mkdir(parents=True)
    default_config_path().write_text("jobs = 2\n")
    assert load_config(None, {}).jobs == 2
    assert load_config(None, {"TAGGER_JOBS": ""}).jobs == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jbos = 3", r"unknown key 'jbos'; did you mean 'jobs'\?$"),
        ("preserve-mtime = true", r"unknown key 'preserve-mtime'; did you mean 'preserve_mtime'\?$"),
        ("zzz = 3", r"unknown key 'zzz'; the keys are backend, coverage, db, .*whitelist, write_parents\.$"),
        ("max_genres = 9", "max_genres is 9, but must be a whole number from 1 to 5"),
        ("[parents]\na = 'b'\nb = 'A'", "parents goes round in a circle: a > b > A"),
        ("[parents]\njobs = 3", r"'jobs' stands below \[parents\]; move it above that line\.$"),
        (
            "jobs = 'many'",
            r"jobs is 'many', but must be a whole number from 1 to 1024, or 0 for all cores\.$",
        ),
        ("jobs = true", "jobs is True, but"),
        ("jobs = -1", "jobs is -1, but"),
        ("jobs = 1.5", "jobs is 1.5, but"),
        ("mode = 'replace'", "mode is 'replace', but must be 'missing' or 'append' or 'overwrite' or 'own'"),
        ("mode = ['own']", "mode is .*, but must be 'missing'"),
        ("threshold = 1.2", r"threshold is 1\.2, but must be a number from 0 to 1\.$"),
        ("threshold = nan", "threshold is nan, but"),
        ("margin = '0.1'", r"margin is '0\.1', but"),
        ("extra_tags = ['bpm']", r"extra_tags is \['bpm'\], but must be a list of confidence, model"),
        ("extra_tags = true", "extra_tags is True, but must be a list of"),
        ("backend = 'mpi'", "backend is 'mpi', but must be 'loky' or 'dask'"),
        (
            "scheduler = 'nas:8786'",
            "scheduler is 'nas:8786', but must be an address such as 'tcp://nas:8786'",
        ),
        ("map = '/a=/b'", "map is '/a=/b', but must be pairs of full paths, here and there, such as"),
        ("map = ['/a=b']", "map is '/a=b', but must be pairs of full paths"),
        ("map = ['/a=/b', '/a/=/c']", "map has two places for /a"),
        ("preserve_mtime = 1", "preserve_mtime is 1, but must be true or false"),
        ("hardlinks = true", "hardlinks is True, but must be 'refuse' or 'write'"),
        ("coverage = 'half'", "coverage is 'half', but must be 'full' or a number of segments from 1"),
        ("time_limit_s = 60", r"unknown key 'time_limit_s'; it is called 'track_limit' now\.$"),
        ("track_limit = 0.5", r"track_limit is 0\.5, but must be a time such as .*, from 1s to 24h\.$"),
        ("time_limit = '2 fortnights'", "time_limit is '2 fortnights', but must be a time such as '90s'"),
        ("max_load = 0", "max_load is 0, but must be a load of the machine"),
        ("on_finish = 'x \"'", "on_finish is .*, but must be a command"),
        ("on_finish = [3]", "on_finish is .*, but must be a command"),
        ("library = 3", r"library must be tables such as \[library\.jazz\]\.$"),
        ("[library]\njazz = 3", r"'jazz' stands below \[library\]"),
        ("[library.jazz]\njbos = 3", r"\[library\.jazz\]: unknown key 'jbos'; did you mean 'jobs'\?$"),
        ("[library.'a b']\njobs = 3", r"a library's name has up to 40 letters"),
        ("[library.a.library.b]\njobs = 3", r"\[library\.a\]: unknown key 'library'"),
        ("db = 5", "db is 5, but must be the path of a file"),
        ("db = 'x.db'", r"db is 'x\.db', but must be a full path, or begin with ~"),
        ("db = '~nobody-of-that-name/x'", "but there is no such home directory"),
        ('db = "/a\\u0000b"', r"db is '/a\\x00b', but"),
        ("model = ''", "model is '', but must be the name of a model or the path"),
        ("model = 'models/x'", "model is 'models/x', but must be a full path"),
        ("paths = '/music'", "paths is '/music', but must be a list of paths of folders"),
        ("paths = ['music']", "paths has an item that is 'music', but must be a full path"),
        ("paths = [3]", "paths has an item that is 3, but must be a list of paths of folders"),
        ("paths = ['/a', ['b']]", r"paths has an item that is \['b'\], but must be a list of paths"),
        ("whitelist = ['Rock', '']", "whitelist has an item that is '', but must be a list of genre names"),
        ("ignore = '*.wav'", r"ignore is '\*\.wav', but must be a list of gitignore patterns"),
        ("whitelist = ['Rock/Pop']", "whitelist has the name 'Rock/Pop', which contains '/'"),
        ("genres = ['Rap']", "genres is .*, but must be a table of names"),
        ("[genres]\nhiphop = 'Rap;Soul'", "genres has the name 'Rap;Soul' for 'hiphop', which contains ';'"),
        ("[genres]\nhiphop = 3", "genres has 3 for 'hiphop', but must have a name in quotes"),
        ("[genres]\nhiphop = 'Rap'\nHip-Hop = 'B'", "genres has 'hiphop' and 'Hip-Hop', which are the same"),
        ("[genres]\njobs = 3", r"'jobs' stands below \[genres\]; move it above that line\.$"),
        ("jobs = \n", r"is not valid TOML: .*line 1"),
        ("jobs = 1\njobs = 2\n", r"is not valid TOML: .*line 2"),
        ("jobs = " + "1" * 5000, "is not valid TOML"),
        ("ignore = " + "[" * 5000, "is not valid TOML"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_key(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(file, {})
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message and len(message) < 400


def test_files_that_are_no_configuration(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"# ok\n# caf\xe9\n")
    with pytest.raises(ConfigError, match="line 2 is not UTF-8 text"):
        load_config(file, {})
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ConfigError, match="is larger than"):
        load_config(file, {})
    with pytest.raises(ConfigError, match=r"no such configuration file\.$"):
        load_config(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path, {})


def test_a_byte_order_mark_is_no_mistake(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfjobs = 9\r\n")
    assert load_config(file, {}).jobs == 9


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("TAGGER_JOBS", "many", "^TAGGER_JOBS is 'many', but must be a whole number"),
        ("TAGGER_JOBS", "9" * 5000, "^TAGGER_JOBS is .*, but must be"),
        ("TAGGER_THRESHOLD", "nan", "^TAGGER_THRESHOLD is nan, but"),
        ("TAGGER_PRESERVE_MTIME", "yes", "^TAGGER_PRESERVE_MTIME is 'yes', but must be true or false"),
        ("TAGGER_GENRES", "hiphop", "^TAGGER_GENRES is 'hiphop', but must be a table of names"),
        ("TAGGER_GENRE", "hiphop=Rap", r"^TAGGER_GENRE: unknown variable; did you mean 'TAGGER_GENRES'\?$"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(variable: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(None, {variable: text})


def test_other_programs_variables_are_left_alone() -> None:
    assert load_config(None, {"TAGGER_TEST_DATA": "/x", "TAGGERS": "3", "OTHER": "y"}) == Config()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(SETTINGS)), _VALUES)
def test_whatever_the_value_only_a_config_error_leaves(key: str, value: object) -> None:
    try:
        Config(db=Path("/x")).with_options(**{key: value if key not in ("db", "model") else str(value)})
    except ConfigError as error:
        assert str(error).startswith("Option --") and "\n" not in str(error)


def test_importing_the_configuration_is_light() -> None:
    code = (
        "import sys, tagger.config, tagger.genres; "
        "print([m for m in ('platformdirs', 'numpy', 'click', 'librosa', 'mutagen') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LIBRARIES = """
jobs = 3
db = "/one/tagger.db"
[library.jazz]
paths = ["/jazz"]
mode = "append"
[library.jazz.genres]
jazz = "Jass"
[library.mine]
db = "/mine.db"
[library.empty]
"""


def test_libraries(file: Path, tmp_path: Path) -> None:
    file.write_text(LIBRARIES)
    plain, jazz = load_config(file, {}), load_config(file, {}, "jazz")
    assert (plain.paths, plain.mode, plain.db) == ((), WriteMode.MISSING, Path("/one/tagger.db"))
    assert (jazz.paths, jazz.mode, jazz.jobs) == ((b"/jazz",), WriteMode.APPEND, 3)
    assert jazz.genres == {"jazz": "Jass"}
    assert jazz.db == Config().db.with_name("tagger-jazz.db"), "never that of another library by mistake"
    assert load_config(file, {"TAGGER_LIBRARY": "mine"}).db == Path("/mine.db")
    assert load_config(file, {"TAGGER_DB": "/x.db"}, "jazz").db == Path("/x.db")
    assert load_config(file, {}, "empty").jobs == 3
    loaded = load(file, {"TAGGER_MODE": "own"}, "jazz")
    assert loaded.libraries == ("jazz", "mine", "empty") and loaded.library == "jazz"
    assert loaded.sources["jobs"] == str(file) and loaded.sources["paths"] == f"{file}: [library.jazz]"
    assert (loaded.sources["mode"], loaded.sources["margin"]) == ("TAGGER_MODE", "default")
    with pytest.raises(ConfigError, match=r"there is no library 'jaz'; did you mean 'jazz'\?$"):
        load_config(file, {}, "jaz")
    file.write_text("")
    with pytest.raises(ConfigError, match=r"there is no library 'jaz'; there are no libraries\.$"):
        load_config(file, {}, "jaz")


def test_all_mistakes_at_once(file: Path) -> None:
    file.write_text("jbos = 1\nmode = 'x'\n[library.a]\njobs = -1\n")
    found = problems(file, {"TAGGER_MARGIN": "2"})
    assert len(found) == 4 and "jbos" in found[0] and "[library.a]: jobs" in found[2] and "MARGIN" in found[3]
    file.write_text(LIBRARIES)
    assert problems(file, {}) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45", 45), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), ("2 D", 172800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.text("0123456789.smhd -x", max_size=8))
def test_what_is_no_duration_is_none(text: str) -> None:
    found = parse_duration(text)
    assert found is None or found >= 0
    assert found is None or not set(text) & set("-x")


def test_the_template_is_valid_both_as_it_is_and_with_everything_in_force(file: Path) -> None:
    file.write_text(template())
    assert load_config(file, {}) == Config()
    everything = "\n".join(
        line.removeprefix("# ") for line in template().splitlines() if re.match(r"# (\w+ = |\[)", line)
    )
    file.write_text(everything)
    loaded = load(file, {}, "jazz")
    assert problems(file, {}) == []
    assert set(loaded.sources.values()) == {str(file), f"{file}: [library.jazz]", "default"}
    assert [key for key, source in loaded.sources.items() if source == "default"] == ["db"]


def test_the_example_of_a_setting_with_a_plain_default_is_that_default() -> None:
    for key, setting in SETTINGS.items():
        default = getattr(Config(), key)
        example = setting.check(tomllib.loads(f"x = {setting.example}")["x"])
        if default is not None and default not in ((), {}) and key != "db":
            assert example == default, key


def test_the_commands(here: Here, tmp_path: Path) -> None:
    where = Path(here("config", "path").out.strip())
    assert where == tmp_path / "config" / "tagger" / "config.toml" and not where.exists()
    assert "the defaults are in force" in here("config", "check").out
    made = here("config", "init")
    assert made.code == 0 and where.read_text() == template()
    assert "Nothing is wrong" in here("config", "check").out
    where.write_text('mode = "own"\npaths = ["/none"]\n[library.jazz]\njobs = 3\n')
    again = here("config", "init")
    assert again.code == 2 and "--force" in again.err and where.read_text().startswith("mode")
    checked = here("config", "check")
    assert checked.code == 0 and "/none is not there now" in checked.err
    shown = here(
        "config", "show", "--json", "--library", "jazz", "--db", "x.db", env={"TAGGER_MARGIN": "0.5"}
    )
    values = json.loads(shown.out)
    assert values["mode"] == {"value": "own", "from": str(where)}
    assert values["jobs"] == {"value": 3, "from": f"{where}: [library.jazz]"}
    assert values["margin"] == {"value": 0.5, "from": "TAGGER_MARGIN"}
    assert values["db"]["from"] == "option --db" and values["coverage"]["from"] == "default"
    assert 'mode            "own"  # ' in here("config", "show").out
    where.write_text("mdoe = 1\njobs = -1\n")
    wrong = here("config", "check")
    assert wrong.code == 2 and "did you mean 'mode'?" in wrong.err and "jobs is -1" in wrong.err
    assert here("config", "init", "--force").code == 0 and here("config", "check").code == 0


def test_a_full_disk_costs_no_configuration(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    where = tmp_path / "config" / "tagger" / "config.toml"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        failed = here("config", "init")
        assert failed.code == 2 and f"{where}: cannot be written: " in failed.err
        assert not list(where.parent.iterdir())
        where.write_text("jobs = 3\n")
        assert here("config", "init", "--force").code == 2
    assert where.read_text() == "jobs = 3\n" and list(where.parent.iterdir()) == [where]
    folder = here("config", "init", "--force", "--config", tmp_path)
    assert folder.code == 2 and "is no file" in folder.err


def leaves(command: click.Command, *words: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, *words, name)
    else:
        yield " ".join(words), command


def test_every_command_takes_a_library() -> None:
    without = [
        name
        for name, command in leaves(cli)
        if not any("--library" in option.opts for option in command.params)
    ]
    assert without == ["config init"], "as the README says"


def test_a_library_may_be_named_behind_a_command_or_between(here: Here, tmp_path: Path) -> None:
    settings = tmp_path / "c.toml"
    settings.write_text(f"[library.jazz]\ndb = '{tmp_path}/jazz/tagger.db'\n")
    given = ("--config", settings)
    for words in (("--library", "jazz", "back"), ("back", "--library", "jazz")):
        assert here("models", *given, *words, env={"TAGGER_DB": ""}).code == 0
        shutil.rmtree(tmp_path / "jazz")  # it was there, and nowhere else
    assert not (tmp_path / "data").exists()
    assert here("models", *given, "back", "--library", "jaz").code == 2
    assert here("predict", *given, "--library", "jaz", "/x.mp3").code == 2
    assert here("config", "check", *given, "--library", "jaz").code == 2
    assert here("config", "check", *given, "--library", "jazz").code == 0
