"""Buckets and keys: who can read them, and what becomes of them."""

from __future__ import annotations

import json

import pytest
from assembly import NORTH, SERVER, SOUTH, WEST, Assembly, Synthesise, Template, example, of_type, plain

ACCOUNTS = [SERVER, NORTH, SOUTH]


@pytest.mark.parametrize("stack", ACCOUNTS)
def test_every_bucket_is_private_versioned_logged_and_encrypted(
    templates: dict[str, Template], stack: str
) -> None:
    for key, bucket in of_type(templates[stack], "S3::Bucket").items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert bucket["LifecycleConfiguration"]["Rules"]
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        if key.startswith("StorageAccessLogs"):
            assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
            continue
        used = "Operations5671B638" if key.startswith("StorageMailbox") else "DataA2F7C5E6"
        assert plain(rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]) == f"<Keys{used}.Arn>"
        assert plain(bucket["LoggingConfiguration"]["DestinationBucketName"]) == "<StorageAccessLogs96FB524C>"


@pytest.mark.parametrize("stack", ACCOUNTS)
def test_every_bucket_refuses_what_does_not_come_by_tls(templates: dict[str, Template], stack: str) -> None:
    policies = of_type(templates[stack], "S3::BucketPolicy").values()
    assert len(policies) == len(of_type(templates[stack], "S3::Bucket"))
    for policy in policies:
        denials = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [s["Condition"] for s in denials]
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in [s["Condition"] for s in denials]


@pytest.mark.parametrize(
    ("bucket", "writer"),
    [("StorageMailbox", "JobExecutionRole2C045EDD"), ("StorageCode", "BrokerStartRole8ECDFEBE")],
)
def test_one_role_alone_can_write_the_mailbox_and_one_the_code(
    templates: dict[str, Template], bucket: str, writer: str
) -> None:
    [policy] = [
        p for key, p in of_type(templates[NORTH], "S3::BucketPolicy").items() if key.startswith(bucket)
    ]
    [only] = [s for s in policy["PolicyDocument"]["Statement"] if s.get("Sid") == "OnlyWriter"]
    assert (only["Effect"], only["Action"], only["Principal"]) == ("Deny", "s3:PutObject", {"AWS": "*"})
    assert plain(only["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]) == f"<{writer}.Arn>"


@pytest.mark.parametrize("stack", ACCOUNTS)
def test_keys_rotate_and_are_open_to_their_own_account_and_to_named_services_for_it(
    templates: dict[str, Template], stack: str
) -> None:
    account = stack.split("-")[3] if "client" in stack else "111111111111"
    for key in of_type(templates[stack], "KMS::Key").values():
        if (
            key.get("KeyUsage") == "SIGN_VERIFY"
        ):  # no asymmetric key rotates; test_signing_key.py has its policy
            continue
        assert key["EnableKeyRotation"] is True
        owner, *services = key["KeyPolicy"]["Statement"]
        assert plain(owner["Principal"]["AWS"]) == f"arn:aws:iam::{account}:root"
        for service in services:
            assert set(service["Principal"]) == {"Service"}
            assert account in json.dumps(service["Condition"])


def kept(template: Template) -> set[str]:
    return {key for key, r in template["Resources"].items() if r.get("DeletionPolicy") == "Retain"}


def test_data_are_kept_when_the_stack_goes(templates: dict[str, Template]) -> None:
    assert kept(templates[NORTH]) == {
        "KeysDataA2F7C5E6",
        "KeysOperations5671B638",
        "StorageAccessLogs96FB524C",
        "StorageArtifacts08431D1F",
        "StorageData6BB23F4E",
    }


def test_data_go_with_the_stack_only_when_the_file_asks_and_the_command_confirms(
    other: Assembly, synthesise: Synthesise
) -> None:
    assert kept(other.templates[SERVER]) == set()
    assert kept(other.templates[SOUTH]) == set()
    assert kept(other.templates[NORTH]), "north does not ask"
    asked = example()
    asked["server"]["delete_data"] = True
    only_asked = synthesise(asked, delete_data="another")
    assert kept(only_asked.templates[SERVER]), "nobody confirms"
    [warning] = only_asked.messages("aws:cdk:warning")[SERVER]
    assert "deletion also needs -c delete_data=<federation>" in warning


def protected(assembly: Assembly) -> set[str]:
    manifest = json.loads((assembly.folder / "manifest.json").read_text())["artifacts"]
    stacks = {name: it["properties"] for name, it in manifest.items() if it["type"].endswith(":stack")}
    return {name for name, properties in stacks.items() if properties.get("terminationProtection")}


def test_stacks_that_hold_something_are_protected_unless_their_owner_says_otherwise(
    assembly: Assembly, other: Assembly
) -> None:
    assert protected(assembly) == {SERVER, NORTH, SOUTH, WEST}
    assert {SERVER, NORTH, SOUTH, WEST} - protected(other) == {SOUTH}


def test_a_key_that_the_client_has_is_used_for_its_data(other: Assembly) -> None:
    [bucket] = [
        b for key, b in of_type(other.templates[SOUTH], "S3::Bucket").items() if key.startswith("StorageData")
    ]
    [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"].endswith(
        ":key/12345678-1234-1234-1234-123456789012"
    )
