"""The server's notebook on this machine: the start script that was deployed, in a folder that is its root.

What the script finds only on a notebook is stood in for: systemd, dnf and sudo do nothing, the bundle's
packages are the project's own, and the instance's address in the server's network is one of this machine's
loopback.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Final

from rehearsal.aws.client import CLEARED
from rehearsal.journey import Journey, private_address
from runtime.contract import ExitCode, FedstackError

START_SECONDS: Final = 300.0
_FOLDERS: Final = re.compile(r"(?<![\w.])/(opt/fedstack|etc/systemd|usr/local|home|var/log|tmp)\b")
_ADDRESS: Final = re.compile(r'"cidr": "[^"]*"')
_PYTHON: Final = f"""[ "$1 $2" = "-m venv" ] || exec {sys.executable} "$@"
{sys.executable} -m venv --without-pip "$3"
echo {sysconfig.get_paths()["purelib"]} > "$(echo "$3"/lib/python3*/site-packages)/rehearsal.pth"
printf '#!/bin/sh\\n' > "$3/bin/pip"
chmod 0755 "$3/bin/pip"
"""
_STAND_INS: Final = {
    "systemctl": "exit 0",
    "dnf": "exit 0",
    "chown": "exit 0",
    "sudo": 'shift 2; exec "$@"',  # -u ec2-user
    "install": 'mkdir -p "${@: -1}"',
    "python3.12": _PYTHON,
}


class RehearsedNotebook:
    """One start of the server's notebook.

    Parameters
    ----------
    journey
        Whose server's stack has been deployed.
    root
        A folder, which becomes what `/` is to the script.
    """

    def __init__(self, journey: Journey, root: Path) -> None:
        self._journey, self._root = journey, root
        self.home = root / "home" / "ec2-user" / "SageMaker" / "fedstack"

    def start(self) -> None:
        """Run the start script as a notebook does, and wait until the runtime is installed."""
        tools = self._root / "stand-ins"
        for folder in ("etc/systemd/system", "usr/local/bin", "var/log", "tmp", "home/ec2-user/SageMaker"):
            (self._root / folder).mkdir(parents=True)
        tools.mkdir()
        for name, body in _STAND_INS.items():
            (tools / name).write_text(f"#!/bin/bash\n{body}\n")
            (tools / name).chmod(0o755)
        script = _FOLDERS.sub(rf"{self._root}/\1", self._deployed_script())
        script = _ADDRESS.sub(f'"cidr": "{private_address()}/32"', script)
        path = f"{tools}:{self.environment()['PATH']}"
        subprocess.run(
            ["/bin/bash", "-c", script], env={**self.environment(), "PATH": path}, check=True, timeout=60
        )
        self._await_runtime()

    def _await_runtime(self) -> None:
        deadline, status = time.monotonic() + START_SECONDS, self.home / "STATUS"
        while time.monotonic() < deadline:
            told = status.read_text() if status.exists() else ""
            if told.strip().endswith("ready"):
                return
            if "failed" in told:
                break
            time.sleep(0.1)
        log = (self._root / "var/log/fedstack-install.log").read_text()
        raise FedstackError(ExitCode.ENGINE, f"The notebook did not start:\n{log}", "Mend its start script.")

    def environment(self) -> dict[str, str]:
        """Return what a terminal of the notebook has: its role, its Region, and the command on the path."""
        journey = self._journey
        server, aws = journey.deployment.server, journey.aws
        own = {name: value for name, value in os.environ.items() if name not in (*CLEARED, "PYTHONPATH")}
        own |= aws.environment(journey.deployment.notebook(server), server.region)
        del own["AWS_DEFAULT_REGION"]  # a notebook's terminal has none
        aws_command = Path(sys.executable).parent
        path = f"{self._root}/usr/local/bin:{aws_command}:{own['PATH']}"
        return {**own, "PATH": path, "HOME": str(self._root / "home" / "ec2-user")}

    def _deployed_script(self) -> str:
        server = self._journey.deployment.server
        sagemaker = self._journey.deployment.owner(server, "sagemaker")
        config = sagemaker.describe_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName=server.notebook
        )
        return base64.b64decode(config["OnStart"][0]["Content"]).decode()
