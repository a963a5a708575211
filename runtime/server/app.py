"""The ServerApp: what Flower's engines, and the link, call on the server's side."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from runtime.server.app_run import AppRun
from runtime.server.run import Run
from runtime.server.settings import Engine, parse, parse_app
from runtime.server.windowed import Windowed

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the federation that the settings file describes: of the built-in app, or of another one."""
    said = json.loads(Path(str(context.run_config["settings"])).read_text())
    if "app" in said:
        AppRun(grid, parse_app(said)).execute()
        return
    logging.getLogger("flwr").setLevel(logging.WARNING)  # the console says it better, once
    settings = parse(said)
    Run(Windowed(grid) if settings.engine is Engine.SIMULATION else grid, settings).execute()
