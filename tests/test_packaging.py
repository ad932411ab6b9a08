"""What is built and installed elsewhere works there: wheel, source archive, completion, manual page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import click
import pytest

from tests import media
from tests.conftest import ROOT, environment

BUILT_FROM = (
    "tagger",
    "training",
    "dashboards",
    "beetsplug",
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source archive and the wheel made from it, both built from a copy of the repository."""
    pytest.importorskip("build")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in BUILT_FROM:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


@pytest.fixture(scope="session")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel in it; what the wheel needs is lent by the present one."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    install = [
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        str(wheel),
    ]
    subprocess.run([sys.executable, *install], check=True)
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    # Only the folder: the .pth files in it, of an editable tagger among others, are not read a second time.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


def run(
    installed: Path, tmp_path: Path, program: str, *arguments: object
) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in environment(tmp_path).items() if name != "PYTHONPATH"}
    return subprocess.run(
        [installed / "bin" / program, *map(str, arguments)], cwd=tmp_path, env=env, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_archives_hold_all_that_is_needed(built: Path) -> None:
    (wheel,), (archive,) = built.glob("*.whl"), built.glob("*.tar.gz")
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(archive) as members:
        in_archive = {name.partition("/")[2] for name in members.getnames()}
    needed = {
        path.relative_to(ROOT).as_posix()
        for folder in ("tagger", "dashboards", "beetsplug")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert needed - in_wheel == set()
    assert needed - in_archive == set()
    assert not [name for name in in_wheel if name.startswith("tests")]
    assert max(info.file_size for info in zipfile.ZipFile(wheel).infolist()) < 5_000_000


@pytest.mark.slow
def test_the_installed_program_works_elsewhere(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "python", "-c", "import tagger; print(tagger.__file__)").stdout
    assert where.startswith(str(installed)), where
    version = run(installed, tmp_path, "tagger", "--version")
    assert version.returncode == 0 and re.search(r"\d+\.\d+", version.stdout), version.stderr
    models = run(installed, tmp_path, "tagger", "models")
    assert models.returncode == 0 and "eleven" in models.stdout, models.stderr
    song = tmp_path / "song.flac"
    media.make(song, "flac", seconds=5)
    predicted = run(installed, tmp_path, "tagger", "predict", "--json", song)
    assert json.loads(predicted.stdout)["path"] == str(song), predicted.stderr
    find = "import importlib.util as u; print(u.find_spec('dashboards').origin)"
    pages = Path(run(installed, tmp_path, "python", "-c", find).stdout.strip())
    assert pages.is_relative_to(installed) and (pages.parent / "app.py").is_file()
    schedule = run(installed, tmp_path, "tagger", "schedule", "--kind", "cron", tmp_path)
    assert f"{installed}/bin/tagger run --quiet" in schedule.stdout


def complete(words: str) -> list[str]:
    """What the shell is told for a line that ends where the cursor is."""
    code = "from tagger.cli import cli; cli.main(prog_name='tagger')"
    env = {"_TAGGER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | env, capture_output=True, text=True, check=True
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_the_shell_completes() -> None:
    assert complete("tagger sche") == ["schedule"]
    assert complete("tagger schedule --k") == ["--kind"]
    assert complete("tagger schedule --kind s") == ["systemd"]
    assert complete("tagger config s") == ["show"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    code = "from tagger.cli import cli; cli.main(prog_name='tagger')"
    env = os.environ | {"_TAGGER_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "_TAGGER_COMPLETE" in done.stdout, done.stderr


def test_the_manual_page_is_complete_and_sound(tmp_path: Path) -> None:
    from tagger.cli import cli

    made = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_manpage.py"], env=environment(tmp_path), capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip
    plain = made.replace("\\-", "-")
    for name, command in cli.commands.items():
        assert f'.SS "tagger {name} ' in plain
        for option in (o for p in command.params if isinstance(p, click.Option) for o in p.opts):
            assert option in plain
    assert not re.findall(r"^[.'](?!(?:TH|SH|SS|TP|PP|B|I|RI|nf|fi)\b).*", made, re.M)
    if shutil.which("groff") is None:
        pytest.skip("needs groff to set the page")
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-c"], input=made.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Another run holds the lock" in done.stdout
