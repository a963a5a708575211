"""Images and instances by choice: what fits, what is pinned, and what an image need not be carried."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from app_federation import write_app
from assembly import NORTH, Synthesise, example, of_type, plain
from broker_account import REQUEST
from iam_statements import statements

from cdk_app.app_bundle import lock
from cdk_app.bundles import Bundle, BundleError, check_images, role_for
from cdk_app.config.load import ConfigError, parse
from cdk_app.images import image_uri, named_by, published, regions, suited_to
from runtime.contract import FedstackError, dns_suffix
from runtime.flower_app import FlowerApp

OWN = f"222222222222.dkr.ecr.eu-west-1.amazonaws.com/team/train@sha256:{'a' * 64}"


def federation(**north: Any) -> dict[str, Any]:
    data = example()
    data["clients"][0] |= north
    return data


@pytest.mark.parametrize("region", sorted(regions()))
@pytest.mark.parametrize("image", sorted(published()))
def test_every_published_image_is_in_every_region_and_known_by_its_place(image: str, region: str) -> None:
    uri = image_uri(image, region, "ml.m5.xlarge")
    assert f".dkr.ecr.{region}.{dns_suffix(region)}/" in uri
    assert named_by(uri) == image


def test_a_gpu_gets_the_tag_that_has_libraries_for_one() -> None:
    on_cpu, on_gpu = (image_uri("pytorch", "eu-west-1", f"ml.{kind}.xlarge") for kind in ("m5", "g5"))
    assert "-cpu-" in on_cpu
    assert "-cu" in on_gpu
    assert image_uri(OWN, "eu-west-1", "ml.g5.xlarge") == OWN
    assert named_by(OWN) is None


@pytest.mark.parametrize(
    ("north", "what", "remedy"),
    [
        ({"image": "tensorflow"}, "image is 'tensorflow', no training image", "by its digest"),
        ({"image": OWN.replace("@sha256:", ":")}, "no training image", "@sha256:DIGEST"),
        ({"image": OWN.replace("eu-west-1", "us-east-1")}, "image lies in us-east-1", "Copy it"),
        ({"instance_type": "ml.g5.xlarge"}, "whose GPU the image sklearn cannot use", "image: pytorch"),
        ({"instance_type": "ml.g5.xlarge", "image": "xgboost"}, "the image xgboost cannot", "image: pytorch"),
        ({"instance_type": "ml.p9.xlarge"}, "no training instance", "ml.g5.xlarge"),
    ],
)
def test_what_does_not_fit_is_said(north: dict[str, Any], what: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(federation(**north))
    assert len(raised.value.problems) == 1
    assert what in str(raised.value)
    assert remedy in str(raised.value)


def test_a_client_s_own_words_come_before_the_federation_s() -> None:
    data = federation(image=OWN, instance_type="ml.g6.xlarge")
    data["run"]["image"] = "pytorch"
    read = parse(data)
    assert [read.job(client).image for client in read.clients] == [
        OWN,
        *["pytorch"] * (len(read.clients) - 1),
    ]


def test_disks_that_hardware_encrypts_take_no_key() -> None:
    """SageMaker refuses a VolumeKmsKeyId with them, and IAM would have nothing to compare."""
    gpu = dataclasses.replace(REQUEST, instance_type="ml.g5.xlarge")
    for request, has_key in ((REQUEST, True), (gpu, False)):
        made = request.parameters()
        assert ("VolumeKmsKeyId" in made["ResourceConfig"]) is has_key
        assert ("sagemaker:VolumeKmsKey" in request.iam_limits()["ArnEquals"]) is has_key
        assert made["OutputDataConfig"]["KmsKeyId"] == request.key_arn
        assert made["EnableInterContainerTrafficEncryption"] is True


def test_a_job_s_role_may_pull_its_own_image_and_no_other(synthesise: Synthesise) -> None:
    template = synthesise(federation(image=OWN, instance_type="ml.g5.xlarge")).templates[NORTH]
    machine = next(iter(of_type(template, "StepFunctions::StateMachine").values()))
    assert OWN in plain(machine["DefinitionString"])
    [role] = [told for key, told in statements(template).items() if key.startswith("JobExecutionRole")]
    grants = {s["Sid"]: (s["Action"], s["Resource"]) for s in role["grants"] if "ecr:" in str(s)}
    assert grants == {
        "PullImage": (
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "arn:aws:ecr:eu-west-1:222222222222:repository/team/train",
        ),
        "LogInToEcr": ("ecr:GetAuthorizationToken", "*"),
    }


def test_where_sagemaker_pulls_the_image_itself_the_role_pulls_none(
    templates: dict[str, dict[str, Any]],
) -> None:
    assert "ecr:" not in str(templates[NORTH])


def test_what_an_image_has_is_not_carried(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", "app = 1\n", "app = 2\n")
    text = (folder / "pyproject.toml").read_text()
    for wanted, fits in (("torch>=2.13", True), ("torch<2", False)):
        line = f'version = "1.0.0"\ndependencies = ["{wanted}"]'
        (folder / "pyproject.toml").write_text(text.replace('version = "1.0.0"', line))
        app = FlowerApp.read(folder)
        if fits:
            assert lock(app, "", {"torch": "2.14.0"}) == ""
            continue
        with pytest.raises(FedstackError, match=r"needs torch<2, and the image has torch 2\.14\.0"):
            lock(app, "", {"torch": "2.14.0"})


def test_a_client_has_the_bundle_of_its_image() -> None:
    bundles = {"client": Bundle(Path("a"), "1"), "client-pytorch": Bundle(Path("b"), "2")}
    assert [role_for(image) for image in ("sklearn", "xgboost", OWN)] == ["client"] * 3
    check_images(bundles, ["pytorch", "sklearn", OWN])
    for there, missing in (("client", "pytorch"), ("client-pytorch", "sklearn")):
        with pytest.raises(BundleError, match=f'for {missing}: .* IMAGE="pytorch sklearn"'):
            check_images({there: bundles[there]}, ["sklearn", "pytorch"])
    with pytest.raises(BundleError, match=r'for the server, pytorch: .* IMAGE="pytorch sklearn"'):
        check_images({"client": bundles["client"]}, ["sklearn", "pytorch"], server=True)
    with pytest.raises(BundleError, match=r'for the server: .* IMAGE="sklearn"'):
        check_images(bundles, [], server=True)


def test_a_rehearsal_takes_the_image_that_has_what_an_app_needs() -> None:
    assert suited_to(["flwr", "torch"]) == "pytorch"
    assert suited_to(["flwr", "lifelines"]) == "sklearn"
