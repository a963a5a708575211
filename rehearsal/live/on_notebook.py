"""Runs on the server's notebook, from standard input: a run, and five calls that must be refused.

It is fetched from the results bucket, so it imports nothing of the project; the bundle brings boto3.
"""

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

REFUSALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "KMS.AccessDeniedException"}
FORBIDDEN = (
    "the kickoff role without its external id",
    "a row of the client's data, with the kickoff role",
    "a certificate of its own in the client's mailbox, with the kickoff role",
    "a job of its own past the broker, with the kickoff role",
    "the role of the client's jobs",
)
"""What the server tries with its notebook's role, and with the role that it takes in the client's account."""


def outcome(call: Callable[[], Any]) -> str:
    """Return `refused`, `ALLOWED`, or why the call said neither."""
    try:
        call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return "refused" if code in REFUSALS else f"not tried: {code}: {error}"
    except BotoCoreError as error:
        return f"not tried: {type(error).__name__}: {error}"
    return "ALLOWED"


def forbidden(task: dict[str, str], session: boto3.Session) -> dict[str, str]:
    """Try what the server must not; return how each ended."""
    sts = session.client("sts")

    def take(role: str, **external_id: str) -> dict[str, str]:
        keys = sts.assume_role(RoleArn=role, RoleSessionName="live", **external_id)["Credentials"]
        return {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }

    taken = boto3.Session(
        **take(task["kickoff_role"], ExternalId=task["external_id"]), region_name=task["region"]
    )
    s3, sagemaker = taken.client("s3"), taken.client("sagemaker")
    job = {
        "TrainingJobName": task["job_name"],
        "AlgorithmSpecification": {"TrainingImage": task["image"], "TrainingInputMode": "File"},
        "RoleArn": task["execution_role"],
        "OutputDataConfig": {"S3OutputPath": f"s3://{task['results']}/stolen"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    letter = {"Bucket": task["mailbox"], "Key": task["certificate"], "Body": b"forged"}
    calls: tuple[Callable[[], Any], ...] = (
        lambda: take(task["kickoff_role"]),
        lambda: s3.get_object(Bucket=task["data"], Key=task["row"]),
        lambda: s3.put_object(**letter),
        lambda: sagemaker.create_training_job(**job),
        lambda: take(task["execution_role"]),
    )
    return {name: outcome(call) for name, call in zip(FORBIDDEN, calls, strict=True)}


def own_address(cidr: str) -> str:
    """Return this machine's address in the server's network; a notebook has one of SageMaker's, too."""
    import ipaddress

    shown = subprocess.run(["ip", "-json", "-4", "addr"], capture_output=True, check=True).stdout  # noqa: S607
    found = [entry["local"] for link in json.loads(shown) for entry in link["addr_info"]]
    return str(next(one for one in found if ipaddress.ip_address(one) in ipaddress.ip_network(cidr)))


def main() -> None:
    """Do the task beside this script in the bucket, and leave the result there."""
    bucket, _, folder = sys.argv[1].removeprefix("s3://").partition("/")
    s3 = boto3.client("s3")
    task = json.load(s3.get_object(Bucket=bucket, Key=f"{folder}/task.json")["Body"])
    home = pathlib.Path(task.get("home", "/home/ec2-user/SageMaker/fedstack"))
    out, test = home / "live", home / "live.csv"
    s3.download_file(task["test_bucket"], "test/test.csv", str(test))
    address = task.get("address") or f"{own_address(task['cidr'])}:{task['port']}"
    server = [sys.executable, "-m", "runtime.server.server", "--federation", str(home / "federation.json")]
    server += ["--test-data", str(test), "--out", str(out), "--address", address, *task["options"].split()]
    code = subprocess.run(server, check=False).returncode
    report = json.loads((out / "report.json").read_text()) if (out / "report.json").exists() else {}
    result = {
        "code": code,
        "verdict": report.get("verdict", "none"),
        "forbidden": forbidden(task, boto3.Session(region_name=task["server_region"])),
    }
    s3.put_object(Bucket=bucket, Key=f"{folder}/result.json", Body=json.dumps(result).encode())
    print(json.dumps(result, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
