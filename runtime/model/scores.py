"""Scores for the rows of a CSV file, on this machine."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.contract import ExitCode, FedstackError
from runtime.model import inference


def score_file(rows: Path, model: Any, out: Path) -> int:
    """Write one line of scores per row; return how many.

    The header is `probability` (of the positive label), the names of several classes, or `prediction`.

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
        text = f"{_header(model, scores)}\n{inference.output_fn(scores, inference.CSV)}"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(out)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise FedstackError(
            ExitCode.CONFIG, f"{out} cannot be written ({error.strerror}).", "Give another --out."
        ) from error
    return len(scores)


def _header(model: Any, scores: npt.NDArray[np.float64]) -> str:
    if not hasattr(model, "predict_proba"):
        return "prediction"
    if scores.ndim == 1:
        return "probability"
    line = io.StringIO()
    csv.writer(line).writerow(getattr(model, "schema_", {}).get("classes") or range(scores.shape[1]))
    return line.getvalue().strip()
