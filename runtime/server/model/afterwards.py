"""What becomes of a model right after its run: registered on the notebook, tracked where that is asked for.

The run is over by then. Whatever fails here is named, and changes neither verdict nor exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from runtime.contract import FedstackError
from runtime.errors import printable

MODEL: Final = "model"
Say = Callable[[str], None]


def put_to_use(
    out: Path, report: Mapping[str, Any], *, registers: bool, mlflow: str | None, say: Say
) -> dict[str, str]:
    """Register and track what a run left; return what each is called where it went.

    Parameters
    ----------
    registers
        Whether this machine's account has a registry for it, as a notebook of the server's has.
    mlflow
        Where runs are tracked; None is nowhere.
    """
    done = {}
    if registers and report["verdict"] != "FAILED" and MODEL in report.get("files", {}):
        again = f"fedstack model register {out}"
        if arn := _tried("The model is not registered", again, lambda: _register(out), say):
            done["model_package"] = arn
            say(f"registered  {arn}, which awaits approval")
    if mlflow is not None:
        again = f"fedstack model track {out} --uri URI"
        if run := _tried("The run is not tracked", again, lambda: _track(out, mlflow), say):
            done["mlflow_run"] = run
            say(f"tracked  {run}")
    return done


def _register(out: Path) -> str:
    from runtime.model.command import register_model
    from runtime.model.vouched import vouch

    return register_model(vouch(out, None)).arn


def _track(out: Path, uri: str) -> str:
    from runtime.server.model.tracking import track

    return track(out, uri, None)[0]


def _tried(what: str, again: str, step: Callable[[], str], say: Say) -> str:
    """Return what a step returns; where it fails say why, and how to do it again."""
    try:
        return step()
    except KeyboardInterrupt:
        why = "it was stopped."
    except FedstackError as error:
        why = str(error)
    except Exception as error:
        why = f"{type(error).__name__}: {printable(error, 300)}."
    say(f"warning: {what}: {why} The run's verdict stands; later: `{again}`.")
    return ""
