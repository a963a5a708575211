"""model.tar.gz as SageMaker's scikit-learn image serves it: the model, and code/inference.py that scores."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Final

from runtime.contract import ExitCode, FedstackError
from runtime.model import inference
from runtime.model.vouched import MODEL_FILE, Vouched

CODE: Final = "code/inference.py"
ENVIRONMENT: Final = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}
"""What tells the image which of the bundle's files serves."""

_IN_THE_IMAGE: Final = frozenset({"sklearn", "numpy", "scipy"})


def bundle(vouched: Vouched) -> bytes:
    """Return the archive, byte for byte the same for the same model.

    Raises
    ------
    FedstackError
        When the model needs what the image does not have.
    """
    if foreign := needs(vouched.load()) - _IN_THE_IMAGE:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{vouched.path} needs {', '.join(sorted(foreign))}, which SageMaker's scikit-learn image lacks.",
            "Register a model of scikit-learn's alone, or score rows with `predict`.",
        )
    files = {MODEL_FILE: vouched.path.read_bytes(), CODE: Path(inference.__file__).read_bytes()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def needs(model: object) -> set[str]:
    """Return the packages that a Pipeline's steps come from."""
    steps = [step for _, step in getattr(model, "steps", [])] or [model]
    return {type(step).__module__.partition(".")[0] for step in steps}
