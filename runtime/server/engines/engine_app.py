"""The ServerApp that Flower's engines, and the link, call: it hands over to the run's own app."""

from __future__ import annotations

import json
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from runtime.flower_app import BUILT_IN_APP, FlowerApp
from runtime.server.run.app_run import AppRun
from runtime.server.settings import parse_app

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the federation that the settings file describes: of the built-in app, or of another one."""
    settings = json.loads(Path(str(context.run_config["settings"])).read_text())
    if "app" in settings:
        AppRun(grid, parse_app(settings)).execute()
    else:
        FlowerApp.read(BUILT_IN_APP).load_server_app()(grid, context)
