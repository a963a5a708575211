"""What is in a hand-off package, that it is the client's alone, and that nobody can change it unnoticed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assembly import ROOT
from assembly import example as plain_example

from cdk_app.bundles import CONTENTS, Bundle, contents, gzip_stored, tar
from cdk_app.config.load import parse
from cdk_app.config.models import Federation
from cdk_app.handoff.package import Package, archive, files
from cdk_app.handoff.signature import NAMESPACE, SIGNER
from runtime.contract import ExitCode, FedstackError

Handoff = Callable[..., Path]


def example() -> dict[str, Any]:
    """The example federation, whose clients say who deploys their packages."""
    data = plain_example()
    for client in data["clients"]:
        client["deployed_by"] = f"arn:aws:iam::{client['account']}:role/platform"
    return data


@pytest.fixture(scope="session")
def client_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    code = {"client.py": b"print()\n"}
    content = gzip_stored(tar({CONTENTS: contents(code, None), **code}))
    digest = hashlib.sha256(content).hexdigest()
    path = tmp_path_factory.mktemp("bundle") / f"client-{digest}.tar.gz"
    path.write_bytes(content)
    return Bundle(path, digest)


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory, client_bundle: Bundle) -> Callable[..., Package]:
    """Synthesise a client's stack as its package has it."""
    import aws_cdk as cdk

    from app import build_handoff

    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    templates: dict[tuple[str, str], bytes] = {}

    def package(data: dict[str, Any], client: str) -> Package:
        federation, key = parse(data), (json.dumps(data, sort_keys=True), client)
        if key not in templates:
            app = cdk.App(outdir=str(tmp_path_factory.mktemp("cdk.out")), context=flags)
            build_handoff(app, federation, client, {"client": client_bundle, "client-pytorch": client_bundle})
            (template,) = Path(app.synth().directory).glob("*.template.json")
            templates[key] = template.read_bytes()
        return made(federation, client, templates[key], client_bundle)

    return package


def made(federation: Federation, client: str, template: bytes, bundle: Bundle) -> Package:
    return Package(
        federation=federation,
        client=federation.client(client),
        template=template,
        bundle=bundle,
        review=f"{hashlib.sha256(template).hexdigest()}\nPASS\n",
    )


@pytest.fixture(scope="session")
def north(packaged: Callable[..., Package]) -> Package:
    return packaged(example(), "north")


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = tmp_path_factory.mktemp("operator") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


@pytest.fixture
def signed(north: Package, operator: Path, tmp_path: Path) -> Path:
    return north.write(tmp_path, operator)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files(folder)}


def check(folder: Path, operator_key: str) -> subprocess.CompletedProcess[str]:
    """Run what the README says under `Check what you got`."""
    readme = (folder / "README.md").read_text()
    section = readme.partition("## Check what you got")[2].partition("\n## ")[0]
    commands = "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", commands],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "OPERATOR_KEY": operator_key},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_package_has_what_its_readme_says_and_nothing_else(signed: Path) -> None:
    found = set(content(signed))
    (bundle,) = (name for name in found if name.startswith("client-"))
    assert found == {
        *("README.md", "template.json", "parameters.json", "bucket.json", "bundle.json", bundle),
        *("review.txt", "cost.txt", "terraform/main.tf.json", "SHA256SUMS", "SHA256SUMS.sig"),
    }
    readme = (signed / "README.md").read_text()
    assert all(f"`{name.partition('/')[0]}" in readme for name in found - {"README.md"})


def test_the_template_needs_no_bootstrap_and_finds_its_bundle_in_the_package_s_own_bucket(
    north: Package,
) -> None:
    text, bucket = north.template.decode(), "cms-north-bundle-222222222222"
    assert "cdk-" not in text.replace("cdk-nag", "")
    assert "bootstrap" not in text.lower()
    assert "Rules" not in json.loads(text)
    places = re.findall(r"cms-north-bundle-222222222222/([a-z0-9.-]+)", text)
    assert len(places) >= 4  # broker, its role, the notebook, its role, the endpoint of the network
    assert set(places) == {north.bundle.path.name}
    assert text.count(bucket) == len(places)


def test_only_where_the_bundle_is_differs_from_what_cdk_deploys(
    north: Package, templates: dict[str, Any]
) -> None:
    """One stack, whoever deploys it: what is reviewed of a package holds for `cdk deploy` as well."""
    ours, theirs = json.loads(north.template), templates[north.names.stack]
    assert set(theirs["Parameters"]) - set(ours["Parameters"]) == {"BootstrapVersion"}
    assert set(ours["Resources"]) == set(theirs["Resources"])
    digest = north.bundle.sha256

    def neutral(value: object) -> str:
        text = json.dumps(value, sort_keys=True).replace(digest, f"{1:064x}")
        text = text.replace(_base64(digest), _base64(f"{1:064x}"))
        return re.sub(r"[a-z0-9-]+222222222222(-eu-west-1)?/[a-z0-9-]{64,}(\.tar)?\.gz", "BUNDLE", text)

    differing = [
        name
        for name in ours["Resources"]
        if neutral(ours["Resources"][name]) != neutral(theirs["Resources"][name])
    ]
    assert differing == []


@pytest.mark.parametrize(
    ("way", "said", "asked"),
    [
        ("privatelink", "finds this account's endpoint at its service and accepts it", {"EndpointService"}),
        ("existing", "routes `10.0.0.0/24` to the server", set()),
    ],
)
def test_a_package_of_another_way_says_what_is_left_to_do(
    packaged: Callable[..., Package], tmp_path: Path, way: str, said: str, asked: set[str]
) -> None:
    data = example()
    data["clients"][0].update(connectivity=way, deployed_by=None)
    folder = packaged(data, "north").write(tmp_path)
    readme = (folder / "README.md").read_text()
    assert said in readme
    assert "peer" not in readme
    parameters = {each.partition("=")[0] for each in json.loads((folder / "parameters.json").read_text())}
    assert {name for name in parameters if not name.startswith("SigningKey")} == asked


def _base64(digest: str) -> str:
    return Bundle(Path(), digest).sha256_base64


def test_the_same_inputs_give_the_same_bytes(north: Package, operator: Path, tmp_path: Path) -> None:
    first, second = (archive(north.write(tmp_path / name, operator)) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as packed:
        members = packed.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}


@pytest.mark.parametrize("change", ["added", "upgraded", "removed"])
def test_another_client_that_comes_changes_or_goes_leaves_a_package_as_it_is(
    packaged: Callable[..., Package], tmp_path: Path, change: str
) -> None:
    data = example()
    west = data["clients"][2]
    east = {**west, "name": "east", "account": "555555555555", "cidr": "10.0.4.0/24", "deployed_by": None}
    upgrade = {"instance_type": "ml.g5.xlarge", "image": "pytorch", "spot": True, "max_runtime_minutes": 90}
    before = {**data, "clients": [*data["clients"], *([] if change == "added" else [east])]}
    after = {
        "added": [*data["clients"], east],
        "upgraded": [*data["clients"], {**east, **upgrade}],
        "removed": data["clients"],
    }[change]
    for client in ("north", "south", "west"):
        one = packaged(before, client).write(tmp_path / "before")
        other = packaged({**data, "clients": after}, client).write(tmp_path / "after")
        assert content(one) == content(other)
    if change == "upgraded":
        mine = [packaged({**data, "clients": c}, "east") for c in (before["clients"], after)]
        assert mine[0].template != mine[1].template  # the change is one


def test_a_package_as_it_was_sent_passes_its_own_check(signed: Path, operator: Path) -> None:
    done = check(signed, operator.with_suffix(".pub").read_text())
    assert done.returncode == 0, done.stderr
    assert f'Good "{NAMESPACE}" signature for {SIGNER}' in done.stdout


def _swap_bundle(folder: Path) -> None:
    next(folder.glob("client-*.tar.gz")).write_bytes(b"other code")


def _widen_and_sum_anew(folder: Path) -> None:
    template = folder / "template.json"
    template.write_text(template.read_text().replace("s3:GetObject", "s3:*"))
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    lines = [f"{hashlib.sha256((folder / n[66:]).read_bytes()).hexdigest()}  {n[66:]}" for n in sums]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def _add_a_file(folder: Path) -> None:
    (folder / "terraform" / "more.tf").write_text('resource "aws_iam_user" "backdoor" {}')


def _add_a_link(folder: Path) -> None:
    (folder / "terraform" / "more.tf").symlink_to("/etc/hostname")


def _leave_a_file_out(folder: Path) -> None:
    (folder / "review.txt").unlink()


def _sign_with_another_key(folder: Path) -> None:
    _resign(folder, NAMESPACE)


def _resign(folder: Path, namespace: str, key: Path | None = None) -> None:
    if key is None:
        key = folder.parent / "another"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (folder / "SHA256SUMS.sig").unlink()
    command = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", namespace, str(folder / "SHA256SUMS")]
    subprocess.run(command, check=True, capture_output=True)


def _drop_the_signature(folder: Path) -> None:
    (folder / "SHA256SUMS.sig").unlink()


@pytest.mark.parametrize(
    "attack",
    [
        _swap_bundle,
        _widen_and_sum_anew,
        _add_a_file,
        _add_a_link,
        _leave_a_file_out,
        _sign_with_another_key,
        _drop_the_signature,
    ],
)
def test_whatever_is_done_to_a_package_on_its_way_its_check_fails(
    signed: Path, operator: Path, attack: Callable[[Path], None]
) -> None:
    attack(signed)
    assert check(signed, operator.with_suffix(".pub").read_text()).returncode != 0


def test_what_the_operator_s_key_signed_for_something_else_is_no_signature_of_a_package(
    signed: Path, operator: Path
) -> None:
    _resign(signed, "git", operator)
    assert check(signed, operator.with_suffix(".pub").read_text()).returncode != 0


def test_a_key_that_cannot_sign_is_one_clear_error(north: Package, tmp_path: Path) -> None:
    with pytest.raises(FedstackError, match=r"ssh-keygen does not sign with .*no-key") as caught:
        north.write(tmp_path, tmp_path / "no-key")
    assert caught.value.code == ExitCode.CONFIG


def test_the_list_of_the_bundle_s_files_is_the_bundle_s_own(north: Package, tmp_path: Path) -> None:
    folder = north.write(tmp_path)
    listed = json.loads((folder / "bundle.json").read_text())["files"]
    with tarfile.open(next(folder.glob("client-*.tar.gz"))) as bundle:
        inside = {
            member.name: hashlib.sha256(bundle.extractfile(member).read()).hexdigest()  # type: ignore[union-attr]
            for member in bundle.getmembers()
            if member.name != CONTENTS
        }
    assert listed == inside


def test_every_parameter_is_in_the_file_to_fill_in_with_its_default(north: Package, tmp_path: Path) -> None:
    folder = north.write(tmp_path)
    assert json.loads((folder / "parameters.json").read_text()) == [
        "ServerVpcId=",
        "SigningKeySouth=",
        "SigningKeyWest=",
    ]


def test_cfn_lint_finds_nothing_in_either_template(north: Package, tmp_path: Path) -> None:
    folder = north.write(tmp_path)
    lint = [str(Path(sys.executable).with_name("cfn-lint")), "--ignore-checks", "W3010", "W3005", "--"]
    done = subprocess.run(
        [*lint, str(folder / "template.json"), str(folder / "bucket.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_terraform_deploys_the_same_files_with_the_same_parameters(north: Package, tmp_path: Path) -> None:
    """No terraform is at hand: what its JSON names must be there, and every reference must lead somewhere."""
    folder = north.write(tmp_path)
    text = (folder / "terraform" / "main.tf.json").read_text()
    main = json.loads(text)
    stacks, objects = main["resource"]["aws_cloudformation_stack"], main["resource"]["aws_s3_object"]
    template = json.loads(north.template)
    assert set(stacks["client"]["parameters"]) == set(template["Parameters"])
    assert stacks["client"]["name"] == north.names.stack
    assert stacks["bundle"]["name"] == north.names.bundle_stack
    assert main["provider"]["aws"] == {"region": "eu-west-1", "allowed_account_ids": ["222222222222"]}
    assert objects["bundle"]["key"] == north.bundle.path.name
    for path in re.findall(r"\$\{path\.module\}/([^\"\\]+)", text):
        assert (folder / "terraform" / path).is_file()
    for variable in re.findall(r"\$\{var\.(\w+)\}", text):
        assert variable in main["variable"]
    bucket = json.loads((folder / "bucket.json").read_text())
    for kind, name in re.findall(r"(aws_\w+)\.(\w+)", text):
        assert name in main["resource"][kind]
    for output in re.findall(r"outputs\.(\w+)", text):
        assert output in bucket["Outputs"]
    required = {name for name, declared in main["variable"].items() if "default" not in declared}
    assert required == {"server_vpc_id"}
    assert "participation" not in text


def test_no_secret_is_in_a_package(north: Package, operator: Path, tmp_path: Path) -> None:
    folder = north.write(tmp_path, operator)
    secret = operator.read_bytes().splitlines()[1]
    assert all(secret not in data and b"PRIVATE KEY" not in data for data in content(folder).values())


def test_a_client_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(FedstackError, match=r"'nord' is no client of cms\. Name one of north, south, west\."):
        parse(example()).client("nord")


def test_an_older_package_is_replaced_whole(north: Package, tmp_path: Path) -> None:
    folder = north.write(tmp_path)
    (folder / "left-over").write_text("of a version before")
    assert content(north.write(tmp_path)).keys() == content(folder).keys() - {"left-over"}
    shutil.rmtree(folder)
