"""The first of a package's two templates: the one bucket from which the other is deployed."""

from __future__ import annotations

from typing import Any


def bundle_bucket_template(bucket: str, *, what_for: str) -> dict[str, Any]:
    """Return a template that makes one private bucket.

    Its objects are named after their content and hold no secret, so it keeps no versions, and S3's own
    encryption is enough: no key policy has to let anybody read the bundle.
    """
    everything = [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}/*"}]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The bucket from which {what_for} is deployed",
        "Resources": {
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {
                    "BucketName": bucket,
                    "BucketEncryption": {
                        "ServerSideEncryptionConfiguration": [
                            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                        ]
                    },
                    "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                    "PublicAccessBlockConfiguration": {
                        "BlockPublicAcls": True,
                        "BlockPublicPolicy": True,
                        "IgnorePublicAcls": True,
                        "RestrictPublicBuckets": True,
                    },
                },
            },
            "Policy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {
                    "Bucket": {"Ref": "Bucket"},
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Deny",
                                "Principal": "*",
                                "Action": "s3:*",
                                "Resource": everything,
                                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                            }
                        ],
                    },
                },
            },
        },
        "Outputs": {"Url": {"Value": {"Fn::Sub": "https://${Bucket.RegionalDomainName}"}}},
    }
