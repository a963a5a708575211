"""The ServerApp: what Flower's engines, and the link, call on the server's side."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from runtime.server.run import Run
from runtime.server.settings import Engine, parse
from runtime.server.windowed import Windowed

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the federation that the settings file describes."""
    logging.getLogger("flwr").setLevel(logging.WARNING)  # the console says it better, once
    settings = parse(json.loads(Path(str(context.run_config["settings"])).read_text()))
    Run(Windowed(grid) if settings.engine is Engine.SIMULATION else grid, settings).execute()
