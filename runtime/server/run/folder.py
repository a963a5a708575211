"""Whether a run can write into a folder: found out before anything is made there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from runtime.contract import ExitCode, FedstackError

FILES: Final = (
    *("report.json", "report.html", "model.joblib", "result.npz", "ledger.jsonl", "checkpoint.npz"),
    *("invitation.json", "settings.json", "run.lock"),
)
"""What a run writes, and nothing else may be in the way of."""


def check_folder(out: Path, folders: tuple[str, ...] = ()) -> None:
    """Find what would keep a run from writing; nothing is made.

    Parameters
    ----------
    folders
        Names of folders that are made there as well.

    Raises
    ------
    FedstackError
        With ExitCode.CONFIG.
    """
    there = out
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise _unusable(f"{there} is no folder", "Name a folder, or remove what is there")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unusable(f"the folder {there.absolute()} is not yours to write into", "Name another folder")
    if there != out:
        return
    for name in FILES:
        path = out / name
        if path.is_symlink() and not path.exists():
            raise _unusable(f"{path} is a link to nothing", "Remove it, or name another folder")
        if path.exists() and not path.is_file() and not path.is_dir():
            raise _unusable(f"{path} is no file", "Remove it, or name another folder")
        if path.is_dir():
            raise _unusable(f"{path} is a folder where a file belongs", "Remove it, or name another folder")
        if path.exists() and not os.access(path, os.W_OK | os.R_OK):
            raise _unusable(f"the file {path} is not yours to write", "Remove it, or name another folder")
    for name in folders:
        if os.path.lexists(out / name) and not (out / name).is_dir():
            raise _unusable(f"{out / name} is a file where a folder belongs", "Remove it")


def _unusable(what: str, remedy: str) -> FedstackError:
    return FedstackError(ExitCode.CONFIG, f"Nothing can be written: {what}.", f"{remedy} (--out, OUT=).")
