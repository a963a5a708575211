"""The operator's signature over a package's checksums: SSH's, which ssh-keygen makes and verifies."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from runtime.contract import ExitCode, FedstackError

NAMESPACE: Final = "fedstack-handoff"
"""What a signature is for: one that the same key made for something else is refused."""
SIGNER: Final = "operator"
"""How the client calls the key in its file of allowed signers."""


def sign(file: Path, key: Path) -> Path:
    """Sign a file with an SSH key, or with the public half of one that an agent holds.

    Returns
    -------
    Path
        The detached signature, beside the file.

    Raises
    ------
    FedstackError
        With ssh-keygen's own words, where it makes none.
    """
    signature = file.with_name(f"{file.name}.sig")
    signature.unlink(missing_ok=True)
    command = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE, str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    except FileNotFoundError:
        raise FedstackError(
            ExitCode.CONFIG, "ssh-keygen is not on this machine.", "Install OpenSSH, 8.1 or newer."
        ) from None
    if done.returncode or not signature.exists():
        raise FedstackError(
            ExitCode.CONFIG,
            f"ssh-keygen does not sign with {key}: {' '.join(done.stderr.split())}.",
            "Make a key with `ssh-keygen -t ed25519 -f KEY`, and name its file.",
        )
    return signature
