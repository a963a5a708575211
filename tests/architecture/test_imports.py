"""Who may import whom (docs: "Layout, and who may import whom"), read from the whole tree's source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("cdk_app", "stacks", "runtime", "rehearsal", "bench")
FLOWER_INTERNALS = (
    "flwr.common",
    "flwr.supercore",
    "flwr.proto",
    "flwr.supernode",
    "flwr.superlink",
    "flwr.compat",
)


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of ours by its dotted name, and the cdk entry."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    files += [ROOT / "app.py"] if (ROOT / "app.py").exists() else []
    named = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): ast.parse(file.read_bytes()) for name, file in named.items()}


def imports(name: str) -> Iterator[str]:
    """What a module imports, anywhere in it: `from a import b` counts as a.b, which covers both."""
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def offences(who: tuple[str, ...], whom: tuple[str, ...], but: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{name} imports {imported}"
        for name in modules()
        if within(name, *who) and not within(name, *but)
        for imported in imports(name)
        if within(imported, *whom)
    ]


def test_the_whole_tree_is_read() -> None:
    assert {"runtime.contract", "runtime.link.flower", "runtime.server.server"} <= set(modules())
    assert "flwr.app.Message" in set(imports("runtime.link.flower"))
    assert within("runtime.link.wire", "runtime.link")
    assert not within("runtime.linker", "runtime.link")


def test_the_contracts_of_pyproject_hold() -> None:
    """Each contract is told apart in the output; a broken one is shown with the import that breaks it."""
    said = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout
    assert "0 broken" in said.stdout


def test_the_contract_needs_only_the_standard_library() -> None:
    assert {name.split(".")[0] for name in imports("runtime.contract")} <= sys.stdlib_module_names


def test_what_is_not_flowers_public_api_is_touched_in_one_file() -> None:
    assert offences(("runtime", "rehearsal"), FLOWER_INTERNALS, but=("runtime.link.flower",)) == []


def calls(name: str) -> Iterator[tuple[str, set[str | None]]]:
    """Every call of a dotted name in a module, with the names of its keyword arguments."""
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {keyword.arg for keyword in node.keywords}


VOUCHED_FOR = {
    "runtime.model.vouched",  # what the account's own ledger has the digest of: model/test_vouched.py
    "runtime.model.inference",  # the same file, in the container that serves it
}


def test_nothing_in_the_runtime_unpickles_but_what_its_own_ledger_vouches_for() -> None:
    assert (
        offences(("runtime",), ("pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "torch"))
        == []
    )
    for name in modules():
        if within(name, "runtime"):
            made = list(calls(name))
            assert not [
                call
                for call, _ in made
                if call in ("joblib.load", "pickle.loads", "eval", "exec")
                and (call, name in VOUCHED_FOR) != ("joblib.load", True)
            ], name
            assert all(
                "allow_pickle" in given for call, given in made if call in ("np.load", "numpy.load")
            ), name
            assert "allow_pickle=True" not in ast.unparse(modules()[name]), name
