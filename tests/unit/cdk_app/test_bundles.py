"""What is shipped: the same bytes every time, installable without a network, started from anywhere."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from app_federation import write_app
from assembly import ROOT

from cdk_app import app_bundle
from cdk_app.bundles import LEFT_OUT, BundleError, build, check_app, gzip_stored, load_bundles
from rehearsal.aws.training.environments import python_312
from runtime.contract import FedstackError
from runtime.flower_app import FlowerApp

IMAGE = {"scikit-learn": "1.9.0", "numpy": "2.5.1", "scipy": "1.18.0", "joblib": "1.5.3"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one client, one server and one wheel."""
    for name, content in {
        "runtime/__init__.py": "",
        "runtime/contract.py": "NAME = 'contract'\n",
        "runtime/client/__init__.py": "",
        "runtime/client/client.py": "import sys\nfrom runtime.contract import NAME\nprint(NAME, *sys.argv)\n",
        "runtime/client/requirements.txt": "x==1\n",
        "runtime/client/__pycache__/client.pyc": "stale",
        "runtime/server/__init__.py": "",
        "runtime/server/server.py": "",
        "runtime/server/requirements.txt": "x==1\n",
        "wheels/x-1-py3-none-any.whl": "wheel",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_the_same_files_give_the_same_bytes_whenever_and_wherever(project: Path, tmp_path: Path) -> None:
    first = build("client", [project / "wheels"], tmp_path / "one", root=project)
    moved = tmp_path / "moved"
    shutil.copytree(project / "runtime", moved / "runtime")
    for path in moved.rglob("*.py"):
        path.chmod(0o755)
    second = build("client", [project / "wheels"], tmp_path / "two", root=moved)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.path.name == f"client-{hashlib.sha256(first.path.read_bytes()).hexdigest()}.tar.gz"


def test_other_code_is_another_bundle_and_replaces_the_older_one(project: Path, tmp_path: Path) -> None:
    first = build("client", [project / "wheels"], tmp_path / "out", root=project)
    (project / "runtime/contract.py").write_text("NAME = 'other'\n")
    second = build("client", [project / "wheels"], tmp_path / "out", root=project)
    assert first.sha256 != second.sha256
    assert list((tmp_path / "out").iterdir()) == [second.path]


def test_a_client_s_bundle_has_no_server_code(project: Path, tmp_path: Path) -> None:
    with tarfile.open(build("client", [project / "wheels"], tmp_path / "out", root=project).path) as archive:
        names = archive.getnames()
    assert names == [
        "bundle.json",
        "client.py",
        "requirements.txt",
        "runtime/__init__.py",
        "runtime/client/__init__.py",
        "runtime/client/client.py",
        "runtime/client/requirements.txt",
        "runtime/contract.py",
        "wheels/x-1-py3-none-any.whl",
    ]


def test_the_entry_point_at_the_root_starts_the_client_from_any_folder(project: Path, tmp_path: Path) -> None:
    with tarfile.open(build("client", [project / "wheels"], tmp_path / "out", root=project).path) as archive:
        archive.extractall(tmp_path / "code", filter="data")
    said = subprocess.run(
        [shutil.which("python3") or "python3", tmp_path / "code" / "client.py", "--run-id", "run-1"],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.endswith(" --run-id run-1\n")
    assert said.stdout.startswith("contract ")


@pytest.mark.parametrize("size", [0, 1, 0xFFFF, 0x10000, 200_000])
def test_stored_gzip_is_gzip(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    assert gzip.GzipFile(fileobj=io.BytesIO(gzip_stored(content[:size]))).read() == content[:size]


def test_a_missing_bundle_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="run `make bundle` first"):
        load_bundles(tmp_path)


def pins(path: Path) -> dict[str, str]:
    """The versions that a lock gives for Python 3.12 on Linux."""
    found = re.findall(r"^([\w.-]+)==([\w.]+)(?: ; (.*?))? \\$", path.read_text(), re.MULTILINE)
    return {name: version for name, version, marker in found if "< '3.12'" not in marker}


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_bundle_has_the_versions_of_the_project_s_lock_and_of_the_training_image(role: str) -> None:
    bundled, locked = pins(ROOT / "runtime" / role / "requirements.txt"), pins(ROOT / "requirements-dev.txt")
    assert {name: locked.get(name) for name in bundled} == bundled
    assert IMAGE.items() <= bundled.items()


@pytest.mark.parametrize(("role", "left_out"), LEFT_OUT.items())
def test_a_bundle_asks_for_whatever_its_code_imports(role: str, left_out: tuple[str, ...]) -> None:
    distributions = packages_distributions()
    imported = {
        name.split(".")[0]
        for file in (ROOT / "runtime").rglob("*.py")
        if not file.relative_to(ROOT).as_posix().startswith(left_out)
        for name in re.findall(r"^\s*(?:import|from) ([\w.]+)", file.read_text(), re.MULTILINE)
    }
    needed = {distributions[name][0] for name in imported - sys.stdlib_module_names - {"runtime"}}
    listed = (ROOT / "runtime" / role / "requirements.in").read_text().splitlines()
    # They come with boto3, typer, pydantic and ipykernel; or with a serving image; or a person brings MLflow.
    with_others = {"botocore", "click", "pydantic_core", "ipython", "sagemaker_inference", "mlflow-skinny"}
    assert {name.lower() for name in needed} - with_others <= set(listed)


def test_the_client_s_bundle_installs_without_a_network(tmp_path: Path) -> None:
    """In a bare Python 3.12 where there is one; otherwise uv resolves and unpacks for 3.12."""
    code, site = tmp_path / "code", tmp_path / "site"
    with tarfile.open(load_bundles()["client"].path) as archive:
        archive.extractall(code, filter="data")
    offline = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "UV_NO_CONFIG": "1"}
    offline |= dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    install = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--require-hashes"]
    bare = python_312()
    if bare is None:
        target = ["--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_34"]
        command = [*install, *target, "--target", str(site), "-r", "requirements.txt"]
        subprocess.run(command, cwd=code, env=offline, check=True, capture_output=True)
        assert (site / "flwr").is_dir()
        return
    subprocess.run([bare, "-m", "venv", "--without-pip", str(site)], env=offline, check=True)
    python = str(site / "bin" / "python")
    command = [*install, "--python", python, "-r", "requirements.txt"]
    subprocess.run(command, cwd=code, env=offline, check=True)
    everything = (
        "import importlib, pkgutil, runtime\n"
        "TREES = 'runtime.tabular.trees.bagging'  # its library is an extra that bundles leave out\n"
        "names = [m.name for m in pkgutil.walk_packages(runtime.__path__, 'runtime.') if m.name != TREES]\n"
        "[importlib.import_module(name) for name in names]\n"
        "print(*names)\n"
    )
    said = subprocess.run(
        [python, "-c", everything], cwd=code, env=offline, check=True, capture_output=True, text=True
    )
    assert "runtime.contract" in said.stdout
    assert "runtime.server" not in said.stdout


def test_a_bundle_lists_every_file_of_its_own_and_the_apps_with_its_hash(
    project: Path, tmp_path: Path
) -> None:
    folder = write_app(
        tmp_path / "app", "app = 1\n", "app = 2\n", more='[tool.fedstack.messages]\ntrain = "sums"'
    )
    app = FlowerApp.read(folder)
    built = build("client", [project / "wheels"], tmp_path / "out", root=project, app=app, more="x==1\n")
    with tarfile.open(built.path) as archive:
        archive.extractall(tmp_path / "code", filter="data")
    told = json.loads((tmp_path / "code" / "bundle.json").read_text())
    there = {
        path.relative_to(tmp_path / "code").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (tmp_path / "code").rglob("*")
        if path.is_file() and path.name != "bundle.json"
    }
    assert told["files"] == there
    assert told["app"] == {
        "name": app.name,
        "version": "1.0.0",
        "sha256": app.digest(),
        "messages": {"train": "sums"},
    }
    assert FlowerApp.read(tmp_path / "code" / "app").digest() == app.digest()
    assert (tmp_path / "code" / "requirements.txt").read_text().endswith("x==1\n")


def test_another_byte_of_the_app_is_another_bundle(project: Path, tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", "app = 1\n", "app = 2\n")
    wheels = [project / "wheels"]
    first = build("client", wheels, tmp_path / "one", root=project, app=FlowerApp.read(folder))
    (folder / "table.txt").write_text("more")
    second = build("client", wheels, tmp_path / "two", root=project, app=FlowerApp.read(folder))
    assert first.sha256 != second.sha256


def tiny_wheel(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        told = f"{name}-{version}.dist-info"
        wheel.writestr(f"{told}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{told}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{told}/RECORD", "")


@pytest.fixture
def needing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FlowerApp]:
    """Make an app with requirements; the registry is a folder with two versions of one package."""
    for name, version in (("tiny", "1.0"), ("tiny", "2.0"), ("other", "3.0")):
        tiny_wheel(tmp_path / "registry", name, version)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "registry"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    folder = write_app(tmp_path / "app", "app = 1\n", "app = 2\n")
    text = (folder / "pyproject.toml").read_text()

    def needs(*requirements: str) -> FlowerApp:
        line = f'version = "1.0.0"\ndependencies = {json.dumps(requirements)}'
        (folder / "pyproject.toml").write_text(text.replace('version = "1.0.0"', line))
        return FlowerApp.read(folder)

    return needs


def test_what_an_app_needs_is_locked_beyond_our_own(needing: Callable[..., FlowerApp]) -> None:
    """Of a package that ours has the version holds; Flower itself is ours."""
    ours = "other==3.0 \\\n    --hash=sha256:00\nflwr==1.41.0\n"
    assert app_bundle.lock(needing("flwr[simulation]>=1.20"), ours) == ""
    assert app_bundle.lock(needing("other>=2"), ours) == ""
    locked = app_bundle.lock(needing("tiny<2", "other"), ours)
    assert locked.startswith("tiny==1.0 \\\n    --hash=sha256:")
    assert "other" not in locked


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("tiny>=3", "cannot be bundled for the image"),
        ("other<3", "cannot be bundled for the image"),
        ("nowhere-to-be-found", "nowhere-to-be-found"),
        ("a b", "a requirement that is none"),
    ],
)
def test_what_cannot_be_bundled_is_said(
    needing: Callable[..., FlowerApp], requirement: str, said: str
) -> None:
    with pytest.raises(FedstackError, match=said):
        app_bundle.lock(needing(requirement), "other==3.0\n")


def test_bundles_that_carry_another_app_are_not_deployed(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", "app = 1\n", "app = 2\n")
    manifest = tmp_path / "bundles.json"
    for carried, said in ((None, f"make bundle APP={folder}"), ("0123", "carry another app")):
        manifest.write_text(json.dumps({"client": "1", **({"app": carried} if carried else {})}))
        with pytest.raises(BundleError, match=re.escape(said)):
            check_app(folder, {}, tmp_path)
    manifest.write_text(json.dumps({"client": "1", "app": FlowerApp.read(folder).digest()}))
    check_app(folder, {}, tmp_path)
    with pytest.raises(BundleError, match="run `make bundle`"):
        check_app(None, {}, tmp_path)
