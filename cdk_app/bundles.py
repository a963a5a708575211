"""Builds what is shipped to the accounts: our code and every wheel that it needs, named by its content.

A bundle is byte-reproducible: the same code and the same lock give the same bytes on any machine. Its
SHA-256 is its name, what the broker compares, and what the job says at the handshake.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdk_app import sbom
from cdk_app.images import DEFAULT, published
from cdk_app.project import DIST, PACKAGES
from runtime.contract import ExitCode, FedstackError
from runtime.link.versions import BUILT_IN, SERVER_ONLY

if (
    TYPE_CHECKING
):  # an app is read by Flower, whose import takes a second that most who synthesise need not wait
    from runtime.flower_app import FlowerApp

BUNDLES: Final = DIST / "bundles"
MANIFEST: Final = "bundles.json"
CONTENTS: Final = "bundle.json"
"""In a bundle: what it holds."""

# The simulation engine runs the clients' app in the server's account, hence nothing is left out there.
LEFT_OUT: Final = {"client": tuple(f"runtime/{folder}" for folder in SERVER_ONLY), "server": ()}
# What Amazon Linux 2023 (glibc 2.34) can load, newest first.
PLATFORMS: Final = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(34, 16, -1)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
)
_OFFLINE: Final = "--no-index\n--find-links ./wheels\n"
_SHIM: Final = '''"""Starts the {role}; here at the root, `runtime` can be imported from anywhere."""

import runpy

runpy.run_module("runtime.{role}.{role}", run_name="__main__", alter_sys=True)
'''
_STORED_BLOCK: Final = 0xFFFF


class BundleError(FedstackError):
    """A bundle that could not be built or found, with what to do about it."""

    def __init__(self, what: str) -> None:
        super().__init__(ExitCode.CONFIG, what, "")


@dataclass(frozen=True)
class Bundle:
    """One built bundle: the file, and the SHA-256 of its content in hexadecimal."""

    path: Path
    sha256: str

    @property
    def sha256_base64(self) -> str:
        """The same digest as S3 writes it."""
        return b64encode(bytes.fromhex(self.sha256)).decode("ascii")

    @property
    def bill(self) -> Path:
        """Where its bill of materials lies, of a bundle that `build_all` made."""
        return sbom.beside(self.path)


def load_bundles(folder: Path = BUNDLES) -> dict[str, Bundle]:
    """Return the bundles that `make bundle` built last."""
    manifest = _manifest(folder)
    return {
        role: Bundle(folder / f"{role}-{digest}.tar.gz", digest)
        for role, digest in manifest.items()
        if role != "app"
    }


def role_for(image: str) -> str:
    """Return which bundle a client has whose jobs run on an image: some need not carry what an image has."""
    known = published().get(image)
    return f"client-{image}" if known is not None and known.has else "client"


def check_images(bundles: Mapping[str, Bundle], images: Iterable[str], *, server: bool = False) -> None:
    """Find images of clients that no bundle was built for; bundles are built for all of them at once.

    Parameters
    ----------
    server
        Whether the server's own bundle is needed, too: one account's bundle is built alone.

    Raises
    ------
    BundleError
        With the command that builds all.
    """
    wanted = sorted(set(images))
    missing = ["the server"] if server and "server" not in bundles else []
    if missing := [*missing, *(image for image in wanted if role_for(image) not in bundles)]:
        known = {image if image in published() else DEFAULT for image in wanted}
        all_of_them = " ".join(sorted(known or {DEFAULT}))
        raise BundleError(
            f"No bundle was built for {', '.join(missing)}: give `make bundle`, or `make synth`, "
            f'IMAGE="{all_of_them}".'
        )


def check_app(asked: Path | None, run_config: Mapping[str, object], folder: Path = BUNDLES) -> None:
    """Hold the app that a federation names against the one that the bundles carry.

    Raises
    ------
    FedstackError, BundleError
        When it is no app, has no such run config, or the bundles carry another one.
    """
    app = None if asked is None else _read_app(asked)
    if app is not None:
        app.run_config(run_config)
    elif run_config:
        raise BundleError(f"run_config is {dict(run_config)}, and the built-in app has none: remove it.")
    carried = _manifest(folder).get("app", BUILT_IN)
    if carried != (BUILT_IN if app is None else app.digest()):
        how = "make bundle" if app is None else f"make bundle APP={asked}"
        raise BundleError(f"The bundles in {folder} carry another app or another state of it: run `{how}`.")


def _read_app(folder: Path) -> FlowerApp:
    from runtime.flower_app import FlowerApp

    return FlowerApp.read(folder)


def _lock(app: FlowerApp, ours: Path, has: Mapping[str, str]) -> str:
    from cdk_app import app_bundle

    return app_bundle.lock(app, ours.read_text(encoding="utf-8"), has)


def _manifest(folder: Path) -> dict[str, str]:
    try:
        manifest: dict[str, str] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{folder / MANIFEST} cannot be read: run `make bundle` first.") from error
    return manifest


def build(
    role: str,
    wheels: Sequence[Path],
    folder: Path,
    root: Path = PACKAGES,
    app: FlowerApp | None = None,
    more: str = "",
    name: str = "",
) -> Bundle:
    """Write one bundle into a folder, named by its content.

    Parameters
    ----------
    role
        `client` or `server`.
    wheels
        Where the wheels of its locks lie.
    folder
        Where the bundle goes; an older one of the same role is removed.
    root
        The project's files.
    app, more
        A Flower app to carry, and the lock of what it needs beyond our own.
    name
        The bundle's own name, where there are several of a role.
    """
    name = name or role
    files = dict(sorted(_files(role, wheels, root, app, more)))
    content = gzip_stored(tar({CONTENTS: contents(files, app), **files}))
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{digest}.tar.gz"
    for old in folder.glob(f"{name}-{'[0-9a-f]' * 64}.tar.gz"):
        if old != path:
            old.unlink()
    if not path.exists():
        fresh = path.with_suffix(".partial")
        fresh.write_bytes(content)
        fresh.replace(path)
    return Bundle(path, digest)


def contents(files: Mapping[str, bytes], app: FlowerApp | None) -> bytes:
    """List every file and wheel of a bundle with its hash: what a reviewer approves."""
    told: dict[str, object] = {
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    }
    if app is not None:
        messages = {kind: releases.value for kind, releases in app.releases.items()}
        told["app"] = {"name": app.name, "version": app.version, "sha256": app.digest(), "messages": messages}
    return (json.dumps(told, indent=1) + "\n").encode("utf-8")


def _files(
    role: str, wheels: Sequence[Path], root: Path, app: FlowerApp | None, more: str
) -> Iterator[tuple[str, bytes]]:
    lock = (root / "runtime" / role / "requirements.txt").read_text(encoding="utf-8")
    yield "requirements.txt", (_OFFLINE + lock + more).encode("utf-8")
    if app is not None:
        from cdk_app import app_bundle

        yield from app_bundle.files(app)
    yield f"{role}.py", _SHIM.format(role=role).encode("utf-8")
    for wheel in (wheel for folder in wheels for wheel in folder.glob("*.whl")):
        yield f"wheels/{wheel.name}", wheel.read_bytes()
    for file in (root / "runtime").rglob("*"):
        name = file.relative_to(root).as_posix()
        left_out = LEFT_OUT[role]
        if file.is_file() and "__pycache__" not in file.parts and not name.startswith(left_out):
            yield name, file.read_bytes()


def tar(files: dict[str, bytes]) -> bytes:
    """Return an archive that says nothing of the machine, the time or the user that made it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def gzip_stored(content: bytes) -> bytes:
    """Return a gzip file whose blocks are stored, not deflated (RFC 1951, 3.2.4).

    Wheels are compressed already, and what deflate makes of the rest depends on zlib's version.
    """
    parts = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"]
    for start in range(0, max(len(content), 1), _STORED_BLOCK):
        block = content[start : start + _STORED_BLOCK]
        last = start + _STORED_BLOCK >= len(content)
        parts.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    parts.append(struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF))
    return b"".join(parts)


def fetch_wheels(lock: Path, cache: Path) -> Path:
    """Return a folder with exactly the wheels of a lock, checked by hash, fetched once."""
    folder = cache / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps"]
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    abis = [f"--abi={abi}" for abi in ("cp312", "abi3", "none")]
    target = ["--python-version=3.12", "--implementation=cp", *abis, *platforms]
    checked = ["--require-hashes", "--only-binary=:all:"]
    where = ["--dest", str(partial), "--requirement", str(lock)]
    done = subprocess.run([*pip, *checked, *target, *where], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        raise BundleError(
            f"The wheels of {lock} cannot be fetched: {' '.join(done.stderr.split())[-300:]}. "
            "Let this machine reach a package index (`pip config list`), then try again."
        )
    partial.rename(folder)
    return folder


def build_all(
    app: FlowerApp | None,
    out: Path,
    images: Sequence[str],
    server_has: Mapping[str, str] | None = None,
    *,
    server: bool = True,
) -> dict[str, Bundle]:
    """Build the server's bundle, and one for clients on each of some images, each with its bill of materials.

    Parameters
    ----------
    images
        As a federation file names them.
    server_has
        What the server has anyway of what the app needs, as a rehearsal's server has.
    server
        Off for one client's account alone.
    """
    built: dict[str, Bundle] = {}
    wanted = {role_for(image): published()[image].has if image in published() else {} for image in images}
    for name, has in (wanted | ({"server": server_has or {}} if server else {})).items():
        role = name.partition("-")[0]
        own, cache = PACKAGES / "runtime" / role / "requirements.txt", DIST / "wheels"
        wheels, more = [fetch_wheels(own, cache)], ""
        if app is not None and (more := _lock(app, own, has)):
            lock = cache / f"{name}-{app.name}.txt"
            lock.write_text(more, encoding="utf-8")
            wheels.append(fetch_wheels(lock, cache))
        built[name] = build(role, wheels, out, app=app, more=more, name=name)
        sbom.write(built[name].path, built[name].sha256)
    told = {name: bundle.sha256 for name, bundle in built.items()}
    told |= {} if app is None else {"app": app.digest()}
    (out / MANIFEST).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return built
