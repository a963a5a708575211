"""What a job starts from: data by name and size, never a byte of them; the image; the server's notebook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from botocore.exceptions import ClientError

from cdk_app.images import OWN_IMAGE, image_uri
from cdk_app.preflight.account import is_absent
from cdk_app.preflight.side import DEPLOY, Side
from runtime.server.preflight.findings import NotCheckedError, Problem, code_of, may_not

TRAIN: Final = "train/"
TEST: Final = "test/"
SCHEMA: Final = "schema.json"
_MANIFESTS: Final = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
]
_RUNS: Final = ("InService", "Stopped", "Pending", "Stopping", "Updating")


def data(side: Side) -> Iterator[Problem | str]:
    """List a client's data, or the server's test set: names and sizes only."""
    prefix, begins = (TEST, "StorageTestData") if side.client is None else (TRAIN, "StorageData")
    bucket = side.stack().resource("AWS::S3::Bucket", begins)
    if bucket is None:
        raise NotCheckedError("the stack has no bucket for them")
    if side.client is None and side.federation.app is not None:
        yield "an app of your own reads what it wants"
        return
    place = f"s3://{bucket.physical_id}/{prefix}"
    try:
        listed = side.account.all(
            "s3", "list_objects_v2", "Contents", Bucket=bucket.physical_id, Prefix=prefix
        )
    except ClientError as error:
        if not is_absent(error):
            raise
        yield Problem(side.owner, f"The bucket {bucket.physical_id} is not there.", DEPLOY)
        return
    sizes = {str(o["Key"]).removeprefix(prefix): int(o["Size"]) for o in listed if not o["Key"].endswith("/")}
    rows = {name: size for name, size in sizes.items() if name != SCHEMA}
    if side.federation.app is None:
        rows = {name: size for name, size in rows.items() if name.lower().endswith(".csv")}
    what = "file" if side.federation.app else ".csv file"
    if not rows:
        others = f", only {', '.join(sorted(sizes))}" if sizes else ""
        yield Problem(side.owner, f"There is no {what} in {place}{others}.", f"aws s3 cp data.csv {place}")
    for name, size in sizes.items():
        if not size:
            yield Problem(side.owner, f"{place}{name} is empty.", "Upload it again, whole.")
    yield ", ".join(f"{name} {size:,} bytes" for name, size in sorted(sizes.items())[:10])
    if SCHEMA not in sizes and side.federation.app is None:
        yield f"no {SCHEMA}, so the columns are those of the CMS file"


def image(side: Side) -> Iterator[Problem | str]:
    """Ask for the manifest of the job's image, as whoever pulls it does."""
    if side.client is None:
        return
    job = side.federation.job(side.client)
    uri = image_uri(job.image, side.client.region, job.instance_type)
    registry, _, name = uri.partition("/")
    own = OWN_IMAGE.fullmatch(uri)
    repository, _, version = name.partition("@" if own else ":")
    key = "imageDigest" if own else "imageTag"
    fix = (
        "Push it there, or name the digest that is there."
        if own
        else "Name another image for this client (image in federation.yaml), or a Region that has it."
    )
    try:
        answer = side.account.client("ecr").batch_get_image(
            registryId=registry.split(".")[0],
            repositoryName=repository,
            imageIds=[{key: version}],
            acceptedMediaTypes=_MANIFESTS,
        )
    except ClientError as error:
        if not is_absent(error) and not may_not(error):
            raise
        yield Problem(side.owner, f"The image {uri} cannot be pulled: {code_of(error)}.", fix)
        return
    for failure in answer.get("failures", []):
        yield Problem(side.owner, f"The image {uri} is not there: {failure.get('failureCode')}.", fix)
    yield uri


def notebook(side: Side) -> Iterator[Problem | str]:
    """Look at the server's notebook, from which runs are started."""
    name = side.server_names.notebook
    answer = side.account.get("sagemaker", "describe_notebook_instance", NotebookInstanceName=name)
    if answer is None:
        yield Problem(side.server, f"The notebook {name} is not there.", DEPLOY)
        return
    status = str(answer["NotebookInstanceStatus"])
    if status not in _RUNS:
        yield Problem(
            side.server,
            f"The notebook {name} is {status}: {answer.get('FailureReason', 'no reason is told')}.",
            "Start it again; its log is in /aws/sagemaker/NotebookInstances.",
        )
    updated = side.stack().updated
    yield f"{name} is {status}"
    if updated is not None and status == "InService" and answer["LastModifiedTime"] < updated:
        yield "it started before the stack's last update: stop and start it if bundle or roster changed"
