"""Buckets, keys and image repositories."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from rehearsal.aws.cloudformation.handler import Handler, Made, Properties, lower, picked, tags


class Bucket(Handler, type_name="AWS::S3::Bucket"):
    """A bucket with the settings that our templates give it."""

    mutable: ClassVar = frozenset(
        {
            *("BucketEncryption", "VersioningConfiguration", "PublicAccessBlockConfiguration", "Tags"),
            *("LifecycleConfiguration", "LoggingConfiguration", "OwnershipControls"),
        }
    )

    def create(self, properties: Properties) -> Made:
        """Make it in the stack's Region."""
        name = properties.get("BucketName") or self.name(63).lower()
        region = self.clients.region
        place = {} if region == "us-east-1" else {"LocationConstraint": region}
        self.client("s3").create_bucket(
            Bucket=name, **({"CreateBucketConfiguration": place} if place else {})
        )
        self._set(name, properties)
        domain = f"{name}.s3.{region}.amazonaws.com"
        return Made(
            name,
            {
                "Arn": f"arn:aws:s3:::{name}",
                "DomainName": f"{name}.s3.amazonaws.com",
                "RegionalDomainName": domain,
            },
        )

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set everything again."""
        self._set(made.physical_id, new)
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it; like S3, only when it is empty."""
        self.client("s3").delete_bucket(Bucket=made.physical_id)

    def _set(self, name: str, properties: Properties) -> None:
        s3 = self.client("s3")
        if encryption := properties.get("BucketEncryption"):
            s3.put_bucket_encryption(
                Bucket=name, ServerSideEncryptionConfiguration={"Rules": _encryption(encryption)}
            )
        if versioning := properties.get("VersioningConfiguration"):
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
        if block := properties.get("PublicAccessBlockConfiguration"):
            s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
        if ownership := properties.get("OwnershipControls"):
            s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=ownership)
        if lifecycle := properties.get("LifecycleConfiguration"):
            s3.put_bucket_lifecycle_configuration(
                Bucket=name, LifecycleConfiguration={"Rules": [_rule(rule) for rule in lifecycle["Rules"]]}
            )
        if found := tags(properties):
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": found})


def _encryption(properties: Properties) -> list[dict[str, Any]]:
    rules = []
    for rule in properties["ServerSideEncryptionConfiguration"]:
        default = dict(rule["ServerSideEncryptionByDefault"])
        if "KMSMasterKeyID" in default:
            default["KMSMasterKeyID"] = default["KMSMasterKeyID"]
        rules.append({**rule, "ApplyServerSideEncryptionByDefault": default})
        rules[-1].pop("ServerSideEncryptionByDefault")
    return rules


def _rule(rule: Properties) -> dict[str, Any]:
    """Turn CloudFormation's flat lifecycle rule into S3's nested one."""
    made: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": rule["ExpirationInDays"]}
    if "NoncurrentVersionExpiration" in rule:
        made["NoncurrentVersionExpiration"] = dict(rule["NoncurrentVersionExpiration"])
    if "AbortIncompleteMultipartUpload" in rule:
        made["AbortIncompleteMultipartUpload"] = dict(rule["AbortIncompleteMultipartUpload"])
    return made


class BucketPolicy(Handler, type_name="AWS::S3::BucketPolicy"):
    """The policy of a bucket."""

    mutable: ClassVar = frozenset({"PolicyDocument"})

    def create(self, properties: Properties) -> Made:
        """Set it."""
        self.client("s3").put_bucket_policy(
            Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"])
        )
        return Made(properties["Bucket"])

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set it again."""
        return self.create(new)

    def delete(self, made: Made, properties: Properties) -> None:
        """Take it off."""
        self.client("s3").delete_bucket_policy(Bucket=properties["Bucket"])


class Key(Handler, type_name="AWS::KMS::Key"):
    """A KMS key. Deleting one schedules it: the key stays, unusable, for the waiting period (KMS guide)."""

    mutable: ClassVar = frozenset(
        {"KeyPolicy", "Description", "EnableKeyRotation", "PendingWindowInDays", "Tags"}
    )

    def create(self, properties: Properties) -> Made:
        """Make it."""
        key = self.client("kms").create_key(
            Policy=json.dumps(properties["KeyPolicy"]),
            Description=properties.get("Description", ""),
            **picked(properties, "KeySpec", "KeyUsage"),
            Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in tags(properties)],
        )["KeyMetadata"]
        if properties.get("EnableKeyRotation"):
            self.client("kms").enable_key_rotation(KeyId=key["KeyId"])
        return Made(key["KeyId"], {"Arn": key["Arn"], "KeyId": key["KeyId"]})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set its policy again."""
        self.client("kms").put_key_policy(
            KeyId=made.physical_id, PolicyName="default", Policy=json.dumps(new["KeyPolicy"])
        )
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Schedule its deletion."""
        window = properties.get("PendingWindowInDays", 30)
        self.client("kms").schedule_key_deletion(KeyId=made.physical_id, PendingWindowInDays=window)


class Alias(Handler, type_name="AWS::KMS::Alias"):
    """A name of a key."""

    def create(self, properties: Properties) -> Made:
        """Make it."""
        self.client("kms").create_alias(
            AliasName=properties["AliasName"], TargetKeyId=properties["TargetKeyId"]
        )
        return Made(properties["AliasName"])

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("kms").delete_alias(AliasName=made.physical_id)


class Repository(Handler, type_name="AWS::ECR::Repository"):
    """A repository of container images; `cdk bootstrap` makes one."""

    mutable: ClassVar = frozenset({"ImageScanningConfiguration", "LifecyclePolicy", "RepositoryPolicyText"})

    def create(self, properties: Properties) -> Made:
        """Make it."""
        repository = self.client("ecr").create_repository(
            repositoryName=properties["RepositoryName"],
            imageTagMutability=properties.get("ImageTagMutability", "MUTABLE"),
            **lower(
                {name: properties[name] for name in ("ImageScanningConfiguration",) if name in properties}
            ),
        )["repository"]
        return Made(properties["RepositoryName"], {"Arn": repository["repositoryArn"]})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Nothing of it matters to a rehearsal, which pushes no image."""
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        try:
            self.client("ecr").delete_repository(repositoryName=made.physical_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "RepositoryNotFoundException":
                raise
