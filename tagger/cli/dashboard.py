"""The command that starts the dashboard."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import click

from tagger.cli.common import library_chosen, load_settings, settings_options

_ADDRESS = "127.0.0.1"
_MAX_UPLOAD_MB = 100


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Where to listen."
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option(
    "--allow-write", is_flag=True, help="Let pages store corrections, write them to files, and undo."
)
@settings_options
def dashboard(port: int, no_browser: bool, allow_write: bool, db: Path | None, config: Path | None) -> None:
    """Look at the collection in a browser: what was heard, why, and how good the model is.

    Listens on this machine alone, and changes nothing unless --allow-write is given.

    Example: tagger dashboard --allow-write
    """
    from tagger.errors import ConfigError

    settings = load_settings(config, db=db)
    if (
        importlib.util.find_spec("streamlit") is None
        or (found := importlib.util.find_spec("dashboards")) is None
    ):
        raise ConfigError("The dashboard is not installed; `pip install 'tagger[dashboard]'` installs it.")
    assert found.origin is not None
    os.environ["TAGGER_DB"] = str(settings.db)
    os.environ["TAGGER_LIBRARY"] = library_chosen() or os.environ.get("TAGGER_LIBRARY", "")
    if config is not None:
        os.environ["TAGGER_CONFIG"] = str(config.absolute())
    os.environ.pop("DASHBOARD_ALLOW_WRITE", None)
    if allow_write:
        os.environ["DASHBOARD_ALLOW_WRITE"] = "1"
    # The pages import the package they are in, wherever it was started from.
    package = Path(found.origin).parent
    paths = [str(package.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    options = {
        "server.address": _ADDRESS,
        "server.port": port,
        "server.headless": str(no_browser).lower(),
        "server.showEmailPrompt": "false",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": _MAX_UPLOAD_MB,
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": "localhost",
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    if no_browser:
        click.echo(f"The dashboard is at http://localhost:{port}; Ctrl-C ends it.", err=True)
    sys.stdout.flush()
    command = [sys.executable, "-m", "streamlit", "run", str(package / "app.py"), *arguments]
    if sys.platform == "win32":  # where it would return at once to the prompt
        sys.exit(subprocess.call(command))
    os.execv(sys.executable, command)  # Ctrl-C and signals reach it without us in between
