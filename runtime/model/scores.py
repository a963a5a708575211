"""Scores for the rows of a CSV file, on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from runtime.contract import ExitCode, FedstackError
from runtime.model import inference


def score_file(rows: Path, model: Any, out: Path) -> int:
    """Write one score per row, below the header `probability`; return how many.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, naming line and column of what the model's schema does not allow.
    """
    try:
        body = rows.read_bytes()
        scores = inference.predict_fn(inference.input_fn(body, inference.CSV), model)
    except OSError as error:
        raise FedstackError(
            ExitCode.DATA, f"{rows} cannot be read ({error.strerror}).", "Give a CSV file."
        ) from error
    except UnicodeDecodeError as error:
        raise FedstackError(
            ExitCode.DATA, f"{rows} is not UTF-8 text.", "Save it as a plain, uncompressed CSV file."
        ) from error
    except inference.Refused as error:
        raise FedstackError(
            ExitCode.DATA, f"{rows}: {error!s}", "Give the columns that the model was trained on."
        ) from error
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        fresh.write_text("probability\n" + inference.output_fn(scores, inference.CSV), encoding="utf-8")
        fresh.replace(out)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise FedstackError(
            ExitCode.CONFIG, f"{out} cannot be written ({error.strerror}).", "Give another --out."
        ) from error
    return len(scores)
