"""What owners bring: names, networks, keys, policies; what both sides are told of it, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from assembly import NORTH, PEER_NORTH, ROOT, SERVER, Assembly, Template, of_type, one, plain, server_template
from own_accounts import OWN_NORTH, OWN_SERVER, own_data

from cdk_app.bundles import Bundle
from cdk_app.config.load import ConfigError, parse
from cdk_app.config.roster import roster
from cdk_app.constructs.identity.notebook_role import _in_policies
from cdk_app.constructs.identity.role_names import _PURPOSES
from cdk_app.review.review import review
from cdk_app.size_limits import too_long

NOTEBOOK = "arn:aws:iam::111111111111:role/org/fl/org-FL-server-notebook-cms"
KICKOFF = "arn:aws:iam::222222222222:role/clinic/clinic-FL-kickoff-client-job-cms-north"
ACCEPTER = "arn:aws:iam::111111111111:role/org/fl/org-FL-accept-peering-cms-north"


@pytest.mark.parametrize(("stack", "said"), [(SERVER, OWN_SERVER), (NORTH, OWN_NORTH)])
def test_every_role_has_its_owner_s_path_prefix_and_boundary(
    own: Assembly, stack: str, said: dict[str, Any]
) -> None:
    roles = of_type(own.templates[stack], "IAM::Role")
    policies = of_type(own.templates[stack], "IAM::ManagedPolicy")
    names = said["names"]
    assert {role["Path"] for role in (*roles.values(), *policies.values())} == {names["role_path"]}
    assert {role["PermissionsBoundary"] for role in roles.values()} == {said["permissions_boundary"]}
    called = [role["RoleName"] for role in roles.values()]
    called += [policy["ManagedPolicyName"] for policy in policies.values()]
    assert all(name.startswith(f"{names['role_prefix']}FL-") and len(name) <= 64 for name in called)
    assert len(set(called)) == len(called)


def test_every_role_of_every_stack_that_can_be_named_has_a_purpose(
    own: Assembly, other: Assembly, templates: dict[str, Template]
) -> None:
    unnamed = {
        re.sub(r"[0-9A-F]{8}$", "", key)
        for assembly in (templates, other.templates)
        for template in assembly.values()
        for key, role in of_type(template, "IAM::Role").items()
        if "RoleName" not in role
    }
    assert unnamed == {place.replace("/", "") for place in _PURPOSES}
    longest = max(map(len, _PURPOSES.values()))
    assert longest <= len("kickoff-client-job"), "what the file is checked for holds for all"
    words = sorted(_PURPOSES.values())
    assert not any(b.startswith(f"{a}-") for a in words for b in words), "names can be told apart"


def test_both_sides_know_each_other_s_roles_and_buckets(own: Assembly) -> None:
    server, north = own.templates[SERVER], own.templates[NORTH]
    kickoff = one(north, "IAM::Role", RoleName="clinic-FL-kickoff-client-job-cms-north")
    [trust] = kickoff["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["ArnEquals"] == {"aws:PrincipalArn": NOTEBOOK}
    assert one(north, "EC2::VPCPeeringConnection")["PeerRoleArn"] == ACCEPTER
    assert one(own.templates[PEER_NORTH], "IAM::Policy")["Roles"] == [ACCEPTER.rpartition("/")[2]]
    [taken] = one(server, "IAM::ManagedPolicy")["PolicyDocument"]["Statement"]
    assert taken["Resource"][0] == KICKOFF
    assert taken["Resource"][1] == "arn:aws:iam::333333333333:role/FL-kickoff-client-job-cms-south"
    told = roster(parse(own_data()))
    assert told["notebook_role"] == NOTEBOOK.rpartition("/")[2]
    assert told["clients"][0]["kickoff_role_arn"] == KICKOFF
    assert told["clients"][0]["mailbox"] == "s3://clinic-fl-mailbox/cms"


@pytest.mark.parametrize(("stack", "said"), [(SERVER, OWN_SERVER), (NORTH, OWN_NORTH)])
def test_every_bucket_is_called_as_its_owner_says(own: Assembly, stack: str, said: dict[str, Any]) -> None:
    buckets = {b["BucketName"] for b in of_type(own.templates[stack], "S3::Bucket").values()}
    assert buckets == {name for key, name in said["names"]["buckets"].items() if key != "bundle"}
    package = parse(own_data()).names_of(parse(own_data()).clients[0]).bundle_bucket
    assert package == "clinic-fl-package"


@pytest.mark.parametrize(("stack", "said"), [(SERVER, OWN_SERVER), (NORTH, OWN_NORTH)])
def test_nothing_of_a_network_is_made_where_there_is_one(
    own: Assembly, stack: str, said: dict[str, Any]
) -> None:
    template = own.templates[stack]
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert not kinds & {"AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::VPCEndpoint", "AWS::EC2::FlowLog"}
    assert {group["VpcId"] for group in of_type(template, "EC2::SecurityGroup").values()} == {
        said["vpc"]["vpc_id"]
    }
    notebook = one(template, "SageMaker::NotebookInstance")
    assert notebook["SubnetId"] == said["vpc"]["subnet_ids"][0]


def test_a_route_table_that_two_subnets_share_gets_one_route(own: Assembly) -> None:
    [route] = of_type(own.templates[NORTH], "EC2::Route").values()
    assert route["RouteTableId"] == "rtb-00000000000000bb0"
    back = of_type(own.templates[PEER_NORTH], "EC2::Route").values()
    assert {plain(route["RouteTableId"]) for route in back} == set(OWN_SERVER["vpc"]["route_table_ids"])


def test_a_template_with_its_owner_s_names_passes_the_review_and_says_them(own: Assembly) -> None:
    reviewed = review((own.folder / f"{NORTH}.template.json").read_bytes())
    assert reviewed.passed, [str(problem) for problem in reviewed.problems]
    assert NOTEBOOK in str(reviewed.sections["Who from outside may enter"])


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (NOTEBOOK, "arn:aws:iam::111111111111:role/org/fl/*FL-server-notebook-cms", "kickoff trust"),
        (NOTEBOOK, "arn:aws:iam::111111111111:role/org/fl/org-FL-server-notebook-cmx", "kickoff trust"),
        (NOTEBOOK, "arn:aws:iam::999999999999:role/org/fl/org-FL-server-notebook-cms", "kickoff trust"),
        (ACCEPTER, ACCEPTER.replace("/org/fl/", "/other/"), "not accepted by"),
        (ACCEPTER, ACCEPTER.replace("org-FL", "x-FL"), "not accepted by"),
        (KICKOFF.rpartition("/")[2], "clinic-another", "is called clinic-another"),
    ],
)
def test_the_review_still_finds_another_s_name(own: Assembly, old: str, new: str, what: str) -> None:
    text = (own.folder / f"{NORTH}.template.json").read_text()
    assert old in text
    reviewed = review(text.replace(old, new).encode())
    assert any(what in str(problem) for problem in reviewed.problems)


def test_the_server_s_endpoints_let_it_reach_what_owners_named(tmp_path: Path) -> None:
    """In a network of our own: kickoff roles by their ARNs, mailboxes that nobody named by a pattern."""
    data = own_data()
    data["server"]["vpc"] = None
    template = server_template(tmp_path, parse(data))
    statements = [
        statement
        for endpoint in of_type(template, "EC2::VPCEndpoint").values()
        for statement in endpoint["PolicyDocument"]["Statement"]
    ]
    [taken] = [each for each in statements if each["Sid"] == "TakeKickoffRoles"]
    assert taken["Resource"][0] == KICKOFF
    near, far = [each["Resource"] for each in statements if each["Sid"] == "Mailboxes"]
    pattern = "arn:aws:s3:::cms-*-mailbox-*"
    own_box = "arn:aws:s3:::clinic-fl-mailbox"
    assert near == [own_box, f"{own_box}/*", pattern, f"{pattern}/*"]
    assert far == [pattern, f"{pattern}/*"]


def test_roles_that_are_too_many_to_list_are_a_pattern_for_each_way_to_name_them() -> None:
    federation = parse(own_data())
    names = [federation.names_of(client) for client in federation.clients]
    assert {each.any_kickoff_role_arn for each in names} == {
        "arn:aws:iam::*:role/clinic/clinic-FL-kickoff-client-job-cms-*",
        "arn:aws:iam::*:role/FL-kickoff-client-job-cms-*",
    }


@pytest.mark.parametrize(("path", "sizes"), [(40, {50, 10}), (300, {14, 4})])
def test_long_paths_take_more_policies_and_each_role_is_in_one(path: int, sizes: set[int]) -> None:
    arns = [f"arn:aws:iam::{n:012}:role/{'p' * path}/FL-kickoff-client-job-cms-n" for n in range(60)]
    policies = list(_in_policies(arns))
    assert [arn for listed in policies for arn in listed] == arns
    assert {len(listed) for listed in policies} == sizes
    assert all(len(json.dumps(listed)) < 6000 for listed in policies)


def test_a_role_with_more_policies_than_iam_lets_it_have_is_told() -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"ManagedPolicyArns": ["arn"] * 11}}
    [said] = too_long({"Resources": {"Notebook": role}}, 300)
    assert "has 11 managed policies, AWS lets it have 10" in said


def test_a_package_s_template_has_its_owner_s_names_and_passes_the_review(tmp_path: Path) -> None:
    import aws_cdk as cdk

    from app import build_handoff

    bundle = tmp_path / "client.tar.gz"
    bundle.write_bytes(b"client")
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = cdk.App(outdir=str(tmp_path / "cdk.out"), context=flags)
    build_handoff(app, parse(own_data()), "north", {"client": Bundle(bundle, f"{1:064x}")})
    [template] = Path(app.synth().directory).glob("*.template.json")
    reviewed = review(template.read_bytes())
    assert reviewed.passed, [str(problem) for problem in reviewed.problems]
    assert "clinic-fl-package/client.tar.gz" in template.read_text()


def problems(change: Any) -> list[str]:
    data = own_data()
    change(data["server"], data["clients"])
    with pytest.raises(ConfigError) as raised:
        parse(data)
    return [str(problem) for problem in raised.value.problems]


def names(**said: Any) -> Any:
    return lambda _, clients: clients[1].update(names=said)


def buckets(**said: Any) -> Any:
    return names(buckets=said)


def of_south(**said: Any) -> Any:
    return lambda _, clients: clients[1].update(said)


def of_server(**said: Any) -> Any:
    return lambda server, _: server.update(said)


WRONG = [
    *((names(role_path=path), "no path of a role", "/clinic/fl/") for path in ("a", "/a", "a/", "//", "/é/")),
    (names(role_path="/aws-reserved/x/"), "no path of a role", "AWS's own"),
    (names(role_prefix="a/b-"), "no beginning of a role's name", "at most 32"),
    (names(role_prefix="a*"), "no beginning of a role's name", "at most 32"),
    (buckets(data="Upper"), "no bucket's name", "3 to 63"),
    (buckets(data="ab"), "no bucket's name", "3 to 63"),
    (buckets(data="a" * 64), "no bucket's name", "3 to 63"),
    (buckets(data="-abc"), "no bucket's name", "3 to 63"),
    (buckets(data="my_data"), "no bucket's name", "3 to 63"),
    (buckets(data="192.168.1.1"), "a name with a dot", "3 to 63"),
    (buckets(data="xn--data"), "S3 keeps for itself", "otherwise"),
    (buckets(data="data-s3alias"), "S3 keeps for itself", "otherwise"),
    (buckets(data="data-333333333333-eu-central-1-an"), "S3 keeps for itself", "otherwise"),
    (buckets(data="same-one", code="same-one"), "names.buckets.code is 'same-one'", "its own name"),
    (buckets(data="org-fl-test"), "'org-fl-test', as names.buckets.test_data of server", "its own name"),
    (
        buckets(data="cms-west-mailbox-444444444444"),
        "the default of names.buckets.mailbox is 'cms-west-mailbox-444444444444'",
        "its own name",
    ),
    (buckets(test_data="a-test"), "names.buckets.test_data", "federation.schema.json"),
    *(
        (
            of_south(permissions_boundary=f"arn:aws:iam::333333333333:policy/{name}"),
            "no managed policy's ARN",
            "policy/NAME",
        )
        for name in ("org/", "/x", "org//x", "x" * 129)
    ),
    *(
        (of_south(deployed_by=f"arn:aws:iam::333333333333:role/{name}"), "no role or user ARN", "NAME")
        for name in ("org/", "/x", "org//x", "x" * 65)
    ),
    (of_south(key_arn=f"arn:aws:kms:eu-central-1:333333333333:key/{'-' * 36}"), "no KMS key ARN", "key/ID"),
    (of_south(permissions_boundary="developers"), "no managed policy's ARN", "policy/NAME"),
    (
        of_south(permissions_boundary="arn:aws:iam::222222222222:policy/developers"),
        "of account 222222222222",
        "333333333333",
    ),
    (
        of_server(permissions_boundary="arn:aws-cn:iam::111111111111:policy/developers"),
        "ARNs of eu-west-1 begin with arn:aws:",
        "Copy it",
    ),
    (
        of_server(key_arn=OWN_SERVER["key_arn"].replace("arn:aws:", "arn:aws-us-gov:")),
        "ARNs of eu-west-1 begin with arn:aws:",
        "Copy it",
    ),
    (
        of_server(vpc=OWN_SERVER["vpc"] | {"subnet_ids": ["subnet-00000000000000aa0"] * 2}),
        "one subnet twice",
        "Name two",
    ),
    (of_server(vpc={"vpc_id": "vpc-00000000"}), "subnet_ids is missing", "Add it"),
    (
        of_south(image=f"333333333333.dkr.ecr.eu-central-1.amazonaws.com.cn/a@sha256:{'0' * 64}"),
        "ends its registry with amazonaws.com.cn",
        "ECR's console",
    ),
]


@pytest.mark.parametrize(("change", "what", "remedy"), WRONG)
def test_what_cannot_be_brought_is_refused_with_what_to_do(change: Any, what: str, remedy: str) -> None:
    [said] = [problem for problem in problems(change) if what in problem]
    assert remedy in said


def test_a_prefix_that_a_role_s_name_has_no_room_for_is_refused_and_says_by_how_much() -> None:
    def change(server: Any, clients: Any) -> None:
        server["names"] = {"role_prefix": "s" * 32}
        clients[1].update(name="the-clinic-of-the-south", names={"role_prefix": "p" * 20})
        for client in (clients[0], clients[2]):
            client["privacy"] = {"updates": "plain"}
        clients[1]["privacy"] = {"updates": "plain"}

    of_client, of_server_ = (said for said in problems(change) if "names.role_prefix" in said)
    assert "has 69 characters" in of_client
    assert "shorten it by 5" in of_client
    assert "shorten it by 13" in of_server_


def test_a_default_name_that_s3_keeps_for_itself_is_refused_unless_its_owner_names_another() -> None:
    data = own_data() | {"name": "sthree"}
    with pytest.raises(ConfigError) as raised:
        parse(data)
    said = [str(problem) for problem in raised.value.problems]
    assert len(said) == 4, "mailbox and package of the two clients that name none"
    assert "the default of names.buckets.mailbox is 'sthree-south-mailbox-333333333333'" in said[0]
    assert "Write names.buckets.mailbox, or rename the federation." in said[0]


def test_all_that_is_wrong_with_names_is_told_beside_other_mistakes() -> None:
    def change(server: Any, clients: Any) -> None:
        server["names"] = {"buckets": {"results": "clinic-fl-data"}}
        server["cidr"] = "ten"
        clients[0]["cidr"] = "eleven"
        clients[1]["names"] = {"role_path": "x"}

    said = problems(change)
    assert len(said) == 4
    assert sum("clinic-fl-data" in problem for problem in said) == 1


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_accounts_of_two_partitions_are_one_error_for_each_client_there(region: str) -> None:
    def change(_: Any, clients: Any) -> None:
        clients[1] |= {"region": region, "availability_zones": [f"{region}a", f"{region}b"]}
        clients[1] |= {"kickoff": "direct", "privacy": {"updates": "plain"}, "connectivity": "privatelink"}
        for client in (clients[0], clients[2]):
            client["privacy"] = {"updates": "plain"}

    [said] = problems(change)
    assert "another AWS partition" in said
    assert "cannot trust each other" in said


def test_a_region_without_images_is_one_error() -> None:
    def change(server: Any, clients: Any) -> None:
        for place in (server, *clients):
            place |= {"region": "us-iso-east-1"}

    said = [problem for problem in problems(change) if "us-iso-east-1" in problem]
    assert len(said) == 4, "one for each account"
    assert all("no Region in which SageMaker publishes" in problem for problem in said)
