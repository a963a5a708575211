"""Whether a notebook still has what its account deployed: it fetches roster and bundle at its start only."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, Final

from runtime.contract import INSTALLED_FILE
from runtime.errors import printable

_LINE: Final = re.compile(r'^\{"notebook": .*\}$', re.MULTILINE)
_CURE: Final = "stop the notebook and start it, then run again"
_LOST: Final = {
    "roster": "clients were added, removed or changed since this notebook started; this run knows them not",
    "bundle": "another bundle was deployed since this notebook started; clients that have it refuse this one",
}


def stale(folder: Path) -> list[str]:
    """Return what to tell the operator of the roster and the bundle in a notebook's folder, a line each.

    Off a notebook, where no start script left its line beside the roster, there is nothing to compare.
    """
    file = folder / INSTALLED_FILE
    if not file.exists():
        return []
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        here = json.loads(file.read_text())
        there = json.loads(_LINE.findall(_deployed_script(here["notebook"], here["region"]))[0])
    except (OSError, ValueError, LookupError, ClientError, BotoCoreError) as error:
        why = f"{type(error).__name__}: {printable(error)}"
        return [f"cannot tell whether {' and '.join(_LOST)} are those that are deployed by now ({why})"]
    return [f"{what}: {lost}; {_CURE}" for what, lost in _LOST.items() if here.get(what) != there.get(what)]


def _deployed_script(notebook: str, region: str) -> str:
    """Return the start script that the account's stack has now, which the next start will run."""
    import boto3  # not needed, nor perhaps installed, where there is no AWS
    from botocore.config import Config

    quick = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 2})
    sagemaker: Any = boto3.client("sagemaker", region_name=region, config=quick)
    found = sagemaker.describe_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=notebook
    )
    return base64.b64decode(found["OnStart"][0]["Content"]).decode()
