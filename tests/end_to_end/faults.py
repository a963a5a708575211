"""Faults that a person, or a mishap, makes in deployed accounts; each is mended when its block ends."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from cdk_app.naming import ClientNames, ServerNames
from cdk_app.preflight.checks.bundle import digests_in, published_in
from cdk_app.preflight.deployed import digest
from rehearsal.journey import Journey
from runtime.contract import LINK_PORT

CLIENT: Final = "silo-0"
ANYBODY: Final = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
Fault = Callable[[Journey], AbstractContextManager[None]]


class Place:
    """One account, with its owner's clients of AWS's services and what its stack made."""

    def __init__(self, journey: Journey, names: ClientNames | ServerNames) -> None:
        self.journey, self.names = journey, names

    def aws(self, service: str) -> Any:
        return self.journey.deployment.owner(self.names, service)

    def resource(self, begins: str, kind: str) -> str:
        return self.journey.deployment.resource(self.names, begins, kind)


def client(journey: Journey) -> Place:
    return Place(journey, journey.deployment.clients[CLIENT])


def server(journey: Journey) -> Place:
    return Place(journey, journey.deployment.server)


@contextmanager
def _parameter(place: Place, name: str, value: str | None) -> Iterator[None]:
    """Let an SSM parameter have another value for a while, or be gone."""
    ssm = place.aws("ssm")
    before = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    if value is None:
        ssm.delete_parameter(Name=name)
    else:
        ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
    yield
    ssm.put_parameter(Name=name, Value=before, Type="String", Overwrite=True)


def participation(value: str | None) -> Fault:
    def fault(journey: Journey) -> AbstractContextManager[None]:
        return _parameter(client(journey), journey.deployment.clients[CLIENT].participation, value)

    return fault


def old_bootstrap(journey: Journey) -> AbstractContextManager[None]:
    return _parameter(server(journey), "/cdk-bootstrap/hnb659fds/version", "5")


def lost_route(side: Callable[[Journey], Place]) -> Fault:
    """Let one of a side's two subnets have no route to the other side."""

    @contextmanager
    def fault(journey: Journey) -> Iterator[None]:
        place = side(journey)
        hub = journey.federation.server.cidr
        target = hub if isinstance(place.names, ClientNames) else journey.federation.clients[0].cidr
        ec2, table = place.aws("ec2"), place.resource("NetworkVpcIsolatedSubnet2", "AWS::EC2::RouteTable")
        peering = journey.deployment.peering(CLIENT)
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock=target)
        yield
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=target, VpcPeeringConnectionId=peering)

    return fault


def _tcp(port: int, cidr: str) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr}]}]


@contextmanager
def closed_port(journey: Journey) -> Iterator[None]:
    """Close the link's port of the server to one client."""
    place = server(journey)
    ec2, group = place.aws("ec2"), place.resource("FederationNotebookGroup", "AWS::EC2::SecurityGroup")
    rule = _tcp(LINK_PORT, journey.federation.clients[0].cidr)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rule)
    yield
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)


@contextmanager
def open_port(journey: Journey) -> Iterator[None]:
    """Let anybody into a client's jobs."""
    place = client(journey)
    ec2, group = place.aws("ec2"), place.resource("JobJobGroup", "AWS::EC2::SecurityGroup")
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=_tcp(22, "0.0.0.0/0"))
    yield
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=_tcp(22, "0.0.0.0/0"))


@contextmanager
def denied_by_acl(journey: Journey) -> Iterator[None]:
    """Let the network ACL of a client's subnets refuse answers."""
    ec2, place = client(journey).aws("ec2"), client(journey)
    vpc = place.resource("Network", "AWS::EC2::VPC")
    acl = next(a["NetworkAclId"] for a in ec2.describe_network_acls()["NetworkAcls"] if a["VpcId"] == vpc)
    entry = {"NetworkAclId": acl, "RuleNumber": 10, "Egress": False}
    ec2.create_network_acl_entry(
        **entry,
        Protocol="6",
        RuleAction="deny",
        CidrBlock="0.0.0.0/0",
        PortRange={"From": 32768, "To": 60999},
    )
    yield
    ec2.delete_network_acl_entry(**entry)


@contextmanager
def no_names(journey: Journey) -> Iterator[None]:
    """Switch names off in a client's network."""
    ec2, vpc = client(journey).aws("ec2"), client(journey).resource("Network", "AWS::EC2::VPC")
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    yield
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": True})


@contextmanager
def open_endpoint(journey: Journey) -> Iterator[None]:
    """Let everything pass a client's S3 endpoint."""
    place = client(journey)
    ec2, endpoint = place.aws("ec2"), place.resource("NetworkVpcS3", "AWS::EC2::VPCEndpoint")
    before = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"][0]["PolicyDocument"]
    wide = json.dumps({"Version": "2012-10-17", "Statement": [ANYBODY]})
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=wide)
    yield
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=before)


@contextmanager
def disabled_key(journey: Journey) -> Iterator[None]:
    kms, key = client(journey).aws("kms"), client(journey).resource("KeysData", "AWS::KMS::Key")
    kms.disable_key(KeyId=key)
    yield
    kms.enable_key(KeyId=key)


@contextmanager
def anybody_signs(journey: Journey) -> Iterator[None]:
    """Let every role of a client's account sign for it."""
    kms, key = client(journey).aws("kms"), client(journey).resource("JobSigningKey", "AWS::KMS::Key")
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    policy = json.loads(before)
    allowed = [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]
    wide = json.dumps({**policy, "Statement": allowed})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=wide)
    yield
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)


def trust(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Fault:
    """Change the one statement of whom a client's kickoff role trusts."""

    @contextmanager
    def fault(journey: Journey) -> Iterator[None]:
        iam, role = client(journey).aws("iam"), journey.deployment.clients[CLIENT].kickoff_role
        before = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        changed = {**before, "Statement": [change(dict(before["Statement"][0]))]}
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(changed))
        yield
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(before))

    return fault


def without_external_id(statement: dict[str, Any]) -> dict[str, Any]:
    return {**statement, "Condition": {"ArnEquals": statement["Condition"]["ArnEquals"]}}


def of_another_server(statement: dict[str, Any]) -> dict[str, Any]:
    other = {"aws:PrincipalArn": "arn:aws:iam::200000000000:role/FL-server-notebook-another"}
    return {**statement, "Condition": {**statement["Condition"], "ArnEquals": other}}


def of_the_whole_account(statement: dict[str, Any]) -> dict[str, Any]:
    return {**statement, "Condition": {"StringEquals": statement["Condition"]["StringEquals"]}}


@contextmanager
def lost_policy(journey: Journey) -> Iterator[None]:
    """Take from the server's notebook the right to take its clients' roles."""
    iam, role = server(journey).aws("iam"), journey.deployment.server.notebook_role
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    for policy in attached:
        iam.detach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])
    yield
    for policy in attached:
        iam.attach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])


@contextmanager
def wider_job(journey: Journey) -> Iterator[None]:
    """Let a client's jobs read every bucket."""
    iam, role = client(journey).aws("iam"), client(journey).resource("JobExecutionRole", "AWS::IAM::Role")
    wide = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [wide]})
    iam.put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=document)
    yield
    iam.delete_role_policy(RoleName=role, PolicyName="more")


@contextmanager
def closed_mailbox(journey: Journey) -> Iterator[None]:
    """Let a client's mailbox refuse the server."""
    s3, names = client(journey).aws("s3"), journey.deployment.clients[CLIENT]
    before = s3.get_bucket_policy(Bucket=names.mailbox)["Policy"]
    policy = json.loads(before)
    resource = f"arn:aws:s3:::{names.mailbox}/*"
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": resource,
        "Condition": {"ArnEquals": {"aws:PrincipalArn": names.kickoff_role_arn}},
    }
    closed = json.dumps({**policy, "Statement": [*policy["Statement"], deny]})
    s3.put_bucket_policy(Bucket=names.mailbox, Policy=closed)
    yield
    s3.put_bucket_policy(Bucket=names.mailbox, Policy=before)


@contextmanager
def public_data(journey: Journey) -> Iterator[None]:
    """Let a client's data bucket be made public."""
    s3, bucket = client(journey).aws("s3"), client(journey).resource("StorageData", "AWS::S3::Bucket")
    before = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={**before, "BlockPublicPolicy": False}
    )
    yield
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=before)


def moved_data(kept: bytes | None) -> Fault:
    """Leave a client's data away, or nothing of them but this."""

    @contextmanager
    def fault(journey: Journey) -> Iterator[None]:
        place = client(journey)
        s3, bucket = place.aws("s3"), place.resource("StorageData", "AWS::S3::Bucket")
        key, elsewhere = f"train/{CLIENT}.csv", "elsewhere"
        source = {"Bucket": bucket, "Key": key}
        s3.copy_object(Bucket=bucket, Key=elsewhere, CopySource=source)
        s3.delete_object(**source)
        if kept is not None:
            s3.put_object(**source, Body=kept)
        yield
        s3.copy_object(**source, CopySource={"Bucket": bucket, "Key": elsewhere})
        s3.delete_object(Bucket=bucket, Key=elsewhere)

    return fault


@contextmanager
def other_bundle(journey: Journey) -> Iterator[None]:
    """Let a client's broker start other code than its stack pins."""
    states, arn = client(journey).aws("stepfunctions"), journey.deployment.clients[CLIENT].broker_arn
    before = states.describe_state_machine(stateMachineArn=arn)["definition"]
    (pinned,) = digests_in(before)
    states.update_state_machine(stateMachineArn=arn, definition=before.replace(pinned, "0" * 64))
    yield
    states.update_state_machine(stateMachineArn=arn, definition=before)


@contextmanager
def replaced_bundle(journey: Journey) -> Iterator[None]:
    """Put something else where a client's deployment published its bundle."""
    s3, states = client(journey).aws("s3"), client(journey).aws("stepfunctions")
    arn = journey.deployment.clients[CLIENT].broker_arn
    place = published_in(states.describe_state_machine(stateMachineArn=arn)["definition"])
    assert place is not None
    bucket, key = place
    version = s3.put_object(Bucket=bucket, Key=key, Body=b"something else")["VersionId"]
    yield
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version)


@contextmanager
def disabled_rule(journey: Journey) -> Iterator[None]:
    """Switch off what stops the job of an execution that ended."""
    events = client(journey).aws("events")
    rule = client(journey).resource("BrokerStopper", "AWS::Events::Rule")
    events.disable_rule(Name=rule)
    yield
    events.enable_rule(Name=rule)


@contextmanager
def used_up(journey: Journey) -> Iterator[None]:
    """Let as many runs have started today as a client's owner allows, as the broker writes it."""
    dynamodb = client(journey).aws("dynamodb")
    table = client(journey).resource("BrokerRunLock", "AWS::DynamoDB::Table")
    key = {"client": {"S": CLIENT}}
    before = dynamodb.get_item(TableName=table, Key=key).get("Item")
    day = {"S": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"}
    item = {**key, "holder": {"S": "run-1"}, "day": day, "starts": {"N": "24"}}
    dynamodb.put_item(TableName=table, Item=item)
    yield
    dynamodb.put_item(TableName=table, Item=before) if before else dynamodb.delete_item(
        TableName=table, Key=key
    )


@contextmanager
def untold_key(journey: Journey) -> Iterator[None]:
    """Let a client's stack forget the signing key of a member."""
    cloudformation, stack = client(journey).aws("cloudformation"), client(journey).names.stack
    before = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Parameters"]
    kept = [
        {"ParameterKey": p["ParameterKey"], "ParameterValue": p["ParameterValue"]}
        for p in before
        if p["ParameterKey"] != "BootstrapVersion"
    ]
    as_before = {"ParameterKey": "BootstrapVersion", "UsePreviousValue": True}
    update = {
        "StackName": stack,
        "UsePreviousTemplate": True,
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    told = [{**p, "ParameterValue": ""} if p["ParameterKey"] == "SigningKeySilo1" else p for p in kept]
    cloudformation.update_stack(**update, Parameters=[*told, as_before])
    yield
    cloudformation.update_stack(**update, Parameters=[*kept, as_before])


@contextmanager
def rolled_back(journey: Journey) -> Iterator[None]:
    """Let an update of a client's stack fail, as one with a type that nobody knows does."""
    place = client(journey)
    cloudformation, names = place.aws("cloudformation"), place.names
    template = json.loads((journey.deployment.assembly / f"{names.stack}.template.json").read_text())
    parameters = [{"ParameterKey": name, "UsePreviousValue": True} for name in template["Parameters"]]

    def update(**more: Any) -> None:
        body = json.dumps({**template, "Resources": {**template["Resources"], **more}})
        cloudformation.update_stack(
            StackName=names.stack,
            TemplateBody=body,
            Parameters=parameters,
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )

    update(Unknown={"Type": "AWS::Quantum::Computer"})
    yield
    update(Known={"Type": "AWS::SNS::Topic"})
    update()


def no_image(journey: Journey) -> AbstractContextManager[None]:
    """Let AWS no longer publish the image of a client's jobs in its Region."""
    from cdk_app.images import published

    image, names = published()["sklearn"], journey.deployment.clients[CLIENT]
    aws = journey.aws
    ecr = aws.client(aws.administrator(image.accounts[names.region]), names.region, "ecr")
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    )

    @contextmanager
    def fault() -> Iterator[None]:
        ecr.batch_delete_image(repositoryName=image.repository, imageIds=[{"imageTag": image.cpu}])
        yield
        ecr.put_image(repositoryName=image.repository, imageManifest=manifest, imageTag=image.cpu)

    return fault()


def quota(side: Callable[[Journey], Place], name: str, value: int) -> Fault:
    """Let AWS allow an account less of something."""

    @contextmanager
    def fault(journey: Journey) -> Iterator[None]:
        names = side(journey).names
        asked = {"account": names.account, "region": names.region, "name": name}
        journey.aws.ask("quota", **asked, value=value)
        yield
        journey.aws.ask("quota", **asked, value=None)

    return fault


def is_of(journey: Journey, names: ClientNames) -> bool:
    """Whether a client's stack is that of a journey's assembly: another test deploys another app."""
    file = journey.deployment.assembly / f"{names.stack}.template.json"
    cloudformation = journey.deployment.owner(names, "cloudformation")
    there = cloudformation.get_template(StackName=names.stack)["TemplateBody"]
    if "BootstrapVersion" not in there["Parameters"]:  # from a package, whose template is another
        return digests_in(json.dumps(there)) == digests_in(file.read_text())
    return digest(there) == digest(json.loads(file.read_text()))
