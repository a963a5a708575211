"""docs/deploy.md as people follow it: each block by whom it says, in a terminal of that account."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from cdk_app.naming import ClientNames, signing_key_parameter
from cdk_app.project import PACKAGES
from end_to_end.package_owner import aws_command, owner_of
from rehearsal.data import Silos
from rehearsal.deployment import at_once, side_by_side
from rehearsal.journey import Journey
from rehearsal.notebook import RehearsedNotebook

DOC: Final = PACKAGES / "docs" / "deploy.md"
BLOCK: Final = re.compile(
    r"^#+ (?P<heading>[^\n]*)$"
    r"|^(?P<before>[^\n]*)\n(?P<indent> *)```sh\n(?P<commands>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
WHO: Final = re.compile(r"^ *<!-- (?:(?P<who>by .*|on the notebook)|not in the rehearsal: (?P<why>.*)) -->$")
VALUES: Final = re.compile(r"(?:export [A-Z_]+=[^$\n]*\n)+")
EVERYBODY, CLIENT, SERVER, PER_CLIENT = (
    "by everybody",
    "by each client",
    "by the server",
    "by the server per client",
)
BOTH: Final = "by each client, and by the server per client"
NOTEBOOK: Final = "on the notebook"
ANSWERS: Final = {"CDK_REQUIRE_APPROVAL": "never", "CDK_FORCE": "true", "CDK_METHOD": "direct"}
"""What a person says when cdk asks; and no change set, which a rehearsal has no use for."""


@dataclass(frozen=True)
class Block:
    """One block of commands: whose it is, or why the rehearsal cannot run it."""

    heading: str
    who: str
    why_not: str
    commands: str

    @property
    def values(self) -> list[str]:
        """The variables that a block asks its reader for, and does nothing else."""
        if not VALUES.fullmatch(self.commands):
            return []
        return re.findall(r"^export ([A-Z_]+)=", self.commands, re.MULTILINE)


def blocks() -> list[Block]:
    """Read every block of the document; one that does not say whose it is, is an error."""
    found, heading = [], ""
    for match in BLOCK.finditer(DOC.read_text()):
        heading = match["heading"] or heading
        if match["commands"] is None:
            continue
        said = WHO.match(match["before"])
        assert said, f"who runs this?\n{match['commands']}"
        found.append(Block(heading, said["who"] or "", said["why"] or "", match["commands"]))
    return found


@dataclass
class FirstRun:
    """What the first run left: on the notebook, and in what it printed."""

    out: Path
    printed: str
    report: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.report = json.loads((self.out / "report.json").read_text())


class Walk:
    """A federation that its owners bring up, use and take down by the document alone.

    The owner of the last client has a package and its README instead.
    """

    def __init__(self, journey: Journey, folder: Path, silos: Silos) -> None:
        self.journey, self.folder, self._silos = journey, folder, silos
        self.blocks, self.followed = blocks(), list[Block]()
        self.notebook = RehearsedNotebook(journey, folder / "notebook")
        folder.mkdir()
        (folder / "cdk.out").symlink_to(journey.deployment.assembly)
        (folder / "federation.yaml").symlink_to(folder.parent / "sums.yaml")
        packaged = owner_of(journey).names
        self.names = {name: n for name, n in journey.deployment.clients.items() if n != packaged}
        self.packaged = packaged
        server = journey.deployment.server
        place = {"SERVER_ACCOUNT": server.account, "SERVER_REGION": server.region}
        self._shared = {"FEDERATION": journey.federation.name, **place}
        self._told: dict[str, dict[str, str]] = {name: {} for name in ("server", *self.names)}

    def deploy(self) -> None:
        """Bring everything up, as far as the first run needs it."""
        deployment, packaged = self.journey.deployment, self.journey.federation.clients[-1]
        self.follow("1. The server's stack")
        vpc = self.follow("2. Tell each client the server's network")["server"].strip()
        assert vpc.startswith("vpc-")
        for name in self.names:
            self._told[name] |= {"SERVER_VPC": vpc, "DATA": str(self._silos.file(name))}
        side_by_side(
            partial(self.follow, "3. Each client's stack"), partial(deployment.deploy_client, packaged)
        )
        self.follow("4. Each client's data and word")
        self.journey.upload(packaged.name, self._silos.file(packaged.name))
        self.follow("5 and 6. The way back to each client")
        keys = {name: said.strip() for name, said in self.follow("7. Keys, from owner to owner").items()}
        keys[packaged.name] = deployment.public_key(packaged.name)
        for name in self.names:
            others = [f"{signing_key_parameter(o)}={key}" for o, key in keys.items() if o != name]
            self._told[name]["KEYS"] = " ".join(others)
        self.follow("8. Tell each such client's stack the keys of the others")
        deployment.tell_keys(packaged, keys)
        self._told[self.packaged.client] = {}
        [block] = self._under("9. A client in another Region")
        assert ".vpce." in self._as_client(block, self.packaged)
        self.followed.append(block)
        self.follow("A client's switch")

    def first_run(self) -> FirstRun:
        """Look whether it can work, start the notebook, and run."""
        self._told["server"]["TEST_SET"] = str(self._silos.test_file)
        self.follow("The test set")
        self.follow("Before a run")
        self.notebook.start()
        printed = self.follow("Your first run")
        return FirstRun(self.notebook.home / "out", printed["notebook"])

    def destroy(self) -> None:
        """Take everything down; every block of the document has had its turn by then."""
        commands = self._under("Clean up")
        for block in commands:
            if block.who == SERVER:
                self.journey.deployment.destroy_client(self.packaged)
            self._run(block)
        left = [n.stack for n in self.journey.places() if self.journey.deployment.exists(n, n.stack)]
        assert left == []

    def follow(self, heading: str) -> dict[str, str]:
        """Run the blocks under a heading in their order; return what each person saw."""
        printed: dict[str, str] = {}
        for block in self._under(heading):
            for who, said in self._run(block).items():
                printed[who] = printed.get(who, "") + said
        return printed

    def _under(self, heading: str) -> list[Block]:
        found = [block for block in self.blocks if block.heading == heading and not block.why_not]
        assert found, f"{DOC.name} has nothing to do under {heading!r}"
        return found

    def _run(self, block: Block) -> dict[str, str]:
        self.followed.append(block)
        if block.who == NOTEBOOK:
            return {"notebook": self._shell(block.commands, self.notebook.environment(), self.folder)}
        if block.who == SERVER:
            return {"server": self._as_server(block)}
        if block.who == PER_CLIENT:
            return {n: self._as_server(block, c) for n, c in self.journey.deployment.clients.items()}
        assert block.who == CLIENT, block.who
        printed: dict[str, str] = {}

        def one(name: str) -> None:
            printed[name] = self._as_client(block, self.names[name])

        at_once(one, list(self.names))
        return printed

    def _as_client(self, block: Block, names: ClientNames) -> str:
        environment = self.journey.aws.terminal(names.account, names.region)
        values = {**self._client_values(names), **self._told[names.client]}
        return self._terminal(block, environment, values)

    def _as_server(self, block: Block, client: ClientNames | None = None) -> str:
        server = self.journey.deployment.server
        values = {**(self._client_values(client) if client else {}), **self._told["server"]}
        return self._terminal(block, self.journey.aws.terminal(server.account, server.region), values)

    def _client_values(self, names: ClientNames) -> dict[str, str]:
        return {"CLIENT": names.client, "CLIENT_ACCOUNT": names.account, "CLIENT_REGION": names.region}

    def _terminal(self, block: Block, environment: dict[str, str], values: dict[str, str]) -> str:
        """Run a block after what everybody said first; of the document's own examples nothing is used."""
        values = {**self._shared, **values}
        if block.values:
            assert set(block.values) <= set(values), f"a reader must know {block.values}"
            return ""
        names = [b for b in self.blocks if b.heading == "Names"]
        assert {v for b in names for v in b.values} >= set(self._shared)
        first = "".join(b.commands for b in names if not b.values)
        path = f"{Path(sys.executable).parent}:{aws_command().parent}:{environment['PATH']}"
        own = {**environment, **ANSWERS, **values, "PATH": path, "PYTHONPATH": str(PACKAGES)}
        return self._shell(first + block.commands, own, self.folder)

    def _shell(self, commands: str, environment: dict[str, str], folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", commands],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout
