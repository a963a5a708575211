"""What each part of a client's stack is for, read from how the template uses it, never from its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from cdk_app.review.reading.form import Form, Values, expression
from cdk_app.review.reading.template import Resource, Template, parsed, texts
from runtime.contract import ExitCode, FedstackError, dns_suffix
from runtime.model.images import ACCOUNTS

CREATE: Final = "createTrainingJob"
_JOBS_AND_MACHINES: Final = ("job", "broker", "stopper", "sweeper")


@dataclass
class Parts:
    """The parts of a client's stack.

    Parameters
    ----------
    values
        What the boundary calls them: `data_key`, `job_role`.
    uses
        What each role is used for, by its logical id.
    machines, kinds
        Definitions of the state machines, and what each is for, by logical id.
    request
        The training job that is pinned.
    direct
        Whether the server makes that request itself.
    """

    template: Template
    values: Values = field(default_factory=dict)
    uses: dict[str, set[str]] = field(default_factory=dict)
    machines: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    direct: bool = False
    links: list[Resource] = field(default_factory=list)
    """Endpoints that lead to a service which is not AWS's own: by PrivateLink, the one to the server."""

    def role(self, arn_or_id: Any) -> Resource | None:
        """Return the role of the template that a value means."""
        return next(
            (
                role
                for role in self.template.of_kind("IAM::Role")
                if arn_or_id in (self.template.arn(role.name), self.template.reference(role.name))
            ),
            None,
        )

    def bucket(self, name: str) -> Resource | None:
        """Return the bucket of the template that has a physical name."""
        return self._by_id("S3::Bucket", name)

    def key(self, arn: Any) -> Resource | None:
        """Return the key of the template that an ARN or an id means."""
        keys = self.template.of_kind("KMS::Key")
        wanted = (
            key for key in keys if arn in (self.template.arn(key.name), self.template.reference(key.name))
        )
        return next(wanted, None)

    def group(self, group_id: Any) -> Resource | None:
        """Return the security group of the template that has an id."""
        return self._by_id("EC2::SecurityGroup", group_id)

    def _by_id(self, kind: str, name: Any) -> Resource | None:
        found = (r for r in self.template.of_kind(kind) if self.template.reference(r.name) == name)
        return next(found, None)


@cache
def data(file: str) -> Any:
    """Return one of the files of the committed boundary."""
    return yaml.safe_load((Path(__file__).parents[1] / "boundary" / file).read_text(encoding="utf-8"))


def parts_of(template: Template) -> Parts:
    """Return what each part of a template is for.

    Raises
    ------
    FedstackError
        Where it is not a client's stack: it neither starts a training job nor lets the server start one.
    """
    parts = Parts(template)
    parts.values |= {name: getattr(template, name) for name in ("account", "region", "partition")}
    parts.values["serving_account"] = ACCOUNTS.get(template.region, "")
    parts.values["dns_suffix"] = dns_suffix(template.region)
    for machine in template.of_kind("StepFunctions::StateMachine"):
        parts.machines[machine.name] = _definition(template, machine)
    _bind_request(parts)
    _bind_machines(parts)
    _bind_way(parts)
    _bind_request_values(parts)
    _bind_roles(parts)
    return parts


def tasks(definition: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every state of a definition that calls an API, those inside Map and Parallel included."""
    if isinstance(definition, Mapping):
        for name, state in (definition.get("States") or {}).items():
            if isinstance(state, Mapping):
                if state.get("Type") == "Task":
                    yield name, state
                for inner in ("Iterator", "ItemProcessor"):
                    yield from tasks(state.get(inner))
                for branch in state.get("Branches") or []:
                    yield from tasks(branch)


def _definition(template: Template, machine: Resource) -> Mapping[str, Any]:
    try:
        definition = parsed(machine.properties.get("DefinitionString", ""))
    except (TypeError, ValueError):
        definition = None
    if not isinstance(definition, dict):
        template.object(machine.name, "Its definition is no JSON in the property DefinitionString.")
        return {}
    return definition


def _bind_request(parts: Parts) -> None:
    """Find the training job that is asked for: in a state machine, or in a parameter for the server."""
    found = [
        (machine, name, state.get("Arguments", state.get("Parameters")))
        for machine, definition in parts.machines.items()
        for name, state in tasks(definition)
        if CREATE in str(state.get("Resource"))
    ]
    if not found:
        found = [
            (parameter.name, "Value", parsed(parameter.properties["Value"]))
            for parameter in parts.template.of_kind("SSM::Parameter")
            if "TrainingImage" in str(parameter.properties.get("Value"))
        ]
        parts.direct = bool(found)
    if not found:
        raise FedstackError(
            ExitCode.CONFIG,
            "This is no client's stack: it starts no training job and lets nobody start one.",
            "Only clients' templates are reviewed (...-client-NAME-ACCOUNT-REGION.template.json): the "
            "server's own stacks give it no right in a client's account.",
        )
    for machine, name, _ in found[1:]:
        parts.template.object(machine, f"{name} asks for a second training job.")
    _, _, request = found[0]
    parts.request = request if isinstance(request, Mapping) else {}


def _bind_way(parts: Parts) -> None:
    """Find the one way to the server: a peering, an endpoint to its service, or one that exists already."""
    template = parts.template
    peerings = template.of_kind("EC2::VPCPeeringConnection")
    parts.links = [e for e in template.of_kind("EC2::VPCEndpoint") if leads_to_a_service(e)]
    if len(peerings) + len(parts.links) == 0 and not template.of_kind("EC2::Route"):
        parts.values |= {"server": _server_of_trust(parts), "server_region": template.region}
        return
    if parts.links and not peerings:
        (first, *more) = parts.links
        for endpoint in more:
            template.object(endpoint.name, "It is a second endpoint to a service that is not AWS's.")
        region = first.properties.get("ServiceRegion", template.region)
        parts.values |= {"server": _server_of_trust(parts), "server_region": str(region)}
        return
    for endpoint in parts.links:
        template.object(endpoint.name, "It is an endpoint to a service that is not AWS's, beside a peering.")
    if len(peerings) != 1:
        template.object(
            "peering", f"There are {len(peerings)} peerings; a client's stack has one, to the server."
        )
    for peering in peerings[:1]:
        parts.values["server"] = str(peering.properties.get("PeerOwnerId", ""))
        parts.values["server_region"] = str(peering.properties.get("PeerRegion", ""))


def leads_to_a_service(endpoint: Resource) -> bool:
    """Whether an interface endpoint leads to a service that is not AWS's own, or not known yet."""
    name = str(endpoint.properties.get("ServiceName", ""))
    name = name.removeprefix("cn.")
    return endpoint.properties.get("VpcEndpointType") == "Interface" and (
        not name.startswith("com.amazonaws.") or name.startswith("com.amazonaws.vpce.")
    )


def _server_of_trust(parts: Parts) -> str:
    """Return the account that the one role with a trust beyond AWS's services names."""
    for role in parts.template.of_kind("IAM::Role"):
        if trusts_somebody(role):
            found = re.search(r"arn:[a-z-]+:iam::(\d{12}):", str(role.properties["AssumeRolePolicyDocument"]))
            return found[1] if found else ""
    return ""


def _bind_request_values(parts: Parts) -> None:
    """Read what the job pins, and object to whatever is not as reviewed."""
    template, values = parts.template, parts.values
    form = Form(values, template.show)
    reviewed = dict(data("job.yaml")["pinned"])
    if not parts.direct:
        invited = data("job.yaml")["invited"]
        reviewed |= {
            **invited,
            "HyperParameters": {**reviewed["HyperParameters"], **invited["HyperParameters"]},
        }
    tags = parts.request.get("Tags")
    if isinstance(tags, list) and not any(map(expression, texts(tags))):
        reviewed["Tags"] = tags  # which they are is the client's business
    for sentence in form.differences(reviewed, parts.request, "the job's request"):
        template.object("the training job", sentence)
    for kind in ("data", "artifacts", "code", "mailbox"):
        name = values.get(f"{kind}_bucket")
        if name is None:
            continue
        if parts.bucket(name) is None and not (parts.direct and kind == "code"):
            template.object(
                "the training job", f"Its {kind} bucket, {template.show(name)}, is none of this template."
            )
        values[kind] = f"arn:{template.partition}:s3:::{name}"
        template.call(name, f"{kind} bucket")
    if "code" in values and "code_key" in values:
        values["bundle"] = f"{values['code']}/{values['code_key']}"
        if parts.direct:  # the job loads the published object itself, and the code bucket stays empty
            values |= {"published": values["bundle"], "code": _unused_bucket(parts)}
    values["subnet"] = [values[f"subnet_{number}"] for number in (1, 2) if f"subnet_{number}" in values]
    if (mailbox := parts.bucket(values.get("mailbox_bucket", ""))) is not None:
        values["operations_key"] = bucket_key(mailbox) or ""
    _name_keys(parts)


def _unused_bucket(parts: Parts) -> str | None:
    """Return the ARN of the bucket that is neither read nor written, nor takes access logs."""
    buckets = parts.template.of_kind("S3::Bucket")
    used = {parts.values.get(f"{kind}_bucket") for kind in ("data", "artifacts", "mailbox")}
    used |= {log_bucket(bucket) for bucket in buckets}
    unused = (b.name for b in buckets if parts.template.reference(b.name) not in used)
    return next(map(parts.template.arn, unused), None)


def log_bucket(bucket: Resource) -> Any:
    """Return the name of the bucket that a bucket's accesses are logged to."""
    return bucket.properties.get("LoggingConfiguration", {}).get("DestinationBucketName")


def bucket_key(bucket: Resource) -> Any:
    """Return the key that a bucket encrypts with."""
    try:
        [rule] = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        return rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID")
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _name_keys(parts: Parts) -> None:
    for kind in ("data", "operations", "signing"):
        if (key := parts.key(parts.values.get(f"{kind}_key"))) is not None:
            parts.template.call(parts.template.reference(key.name), f"{kind} key")
    image = str(parts.values.get("image", ""))
    registry, _, name = image.partition("/")
    if registry.count(".") >= 4:
        account, _, _, region = registry.split(".")[:4]
        repository = name.partition("@")[0].partition(":")[0]
        parts.values["image_repository"] = (
            f"arn:{parts.template.partition}:ecr:{region}:{account}:repository/{repository}"
        )


def _bind_machines(parts: Parts) -> None:
    """Tell the state machines apart: the one that starts jobs, and those that stop them."""
    for name, definition in parts.machines.items():
        kind = _kind({str(state.get("Resource")) for _, state in tasks(definition)})
        if kind is None:
            parts.template.object(name, "It is a state machine that neither starts a job nor stops one.")
            continue
        parts.kinds[name] = kind
        parts.values[kind] = parts.template.arn(name)
        parts.template.call(parts.template.reference(name), kind)
        if kind == "broker":
            executions = parts.values[kind].replace(":stateMachine:", ":execution:")
            parts.values["execution_prefix"] = f"{executions}:"


def _kind(calls: set[str]) -> str | None:
    """Return what a state machine is for, by the APIs that it calls."""

    def has(api: str) -> bool:
        return any(api in call for call in calls)

    if has(CREATE):
        return "broker"
    return ("sweeper" if has("listTrainingJobs") else "stopper") if has("stopTrainingJob") else None


def _bind_roles(parts: Parts) -> None:
    template = parts.template
    _use(parts, parts.values.get("job_role"), "job")
    for machine in template.of_kind("StepFunctions::StateMachine"):
        if machine.name in parts.kinds:
            _use(parts, machine.properties.get("RoleArn"), parts.kinds[machine.name])
    for flow_log in template.of_kind("EC2::FlowLog"):
        _use(parts, flow_log.properties.get("DeliverLogsPermissionArn"), "flow log")
    for rule in template.of_kind("Events::Rule"):
        for target in rule.properties.get("Targets", []):
            if "RoleArn" in target:
                _use(parts, target["RoleArn"], "events")
    for notebook in template.of_kind("SageMaker::NotebookInstance"):
        _use(parts, notebook.properties.get("RoleArn"), "notebook")
    for model in template.of_kind("SageMaker::Model"):
        _use(parts, model.properties.get("ExecutionRoleArn"), "serving")
        template.call(template.reference(model.name), "served model")
        for group in model.properties.get("VpcConfig", {}).get("SecurityGroupIds", []):
            parts.values["serving_group"] = group
    for role in template.of_kind("IAM::Role"):
        if role.name not in parts.uses and trusts_somebody(role):
            parts.uses[role.name] = {"kickoff"}
            _bind_names(parts, role)
    for kind in (*_JOBS_AND_MACHINES, "kickoff", "notebook", "serving", "events", "flow log"):
        for name in [name for name, uses in parts.uses.items() if kind in uses]:
            parts.template.call(template.reference(name), f"{kind} role")
            if kind in ("job", "broker"):
                parts.values[f"{kind}_role"] = template.arn(name)


def _bind_names(parts: Parts, kickoff: Resource) -> None:
    """Read by which rules two owners name their roles, where the kickoff role and its trust show that.

    The client's prefix is what its kickoff role has before its known name; path and prefix of the server's
    are what the one principal of the trust has before its own. Neither can hold a wildcard.
    """
    word, values = r"[\w+=,.@-]*", parts.values
    mine = rf"({word})FL-kickoff-client-job-.+"
    theirs = rf"arn:[a-z-]+:iam::\d{{12}}:role(/(?:[\w+=,.@-]+/)*{word})FL-server-notebook-[a-z0-9]+"
    prefix = re.fullmatch(mine, str(kickoff.properties.get("RoleName")), re.ASCII)
    roles = {
        found[1]
        for text in texts(kickoff.properties.get("AssumeRolePolicyDocument"))
        if (found := re.fullmatch(theirs, text, re.ASCII))
    }
    values["role_prefix"] = prefix[1] if prefix else ""
    values["server_roles"] = roles.pop() if len(roles) == 1 else "/"


def trusts_somebody(role: Resource) -> bool:
    """Whether a role may be taken by anybody but AWS's services."""
    document = role.properties.get("AssumeRolePolicyDocument")
    listed = document.get("Statement", []) if isinstance(document, Mapping) else []
    for statement in listed if isinstance(listed, list) else [listed]:
        principal = statement.get("Principal") if isinstance(statement, Mapping) else None
        if not isinstance(principal, Mapping) or set(principal) != {"Service"}:
            return True
    return False


def _use(parts: Parts, role: Any, use: str) -> None:
    found = parts.role(role)
    if found is None:
        parts.template.object(
            f"{use} role", f"It is {parts.template.show(str(role))}, which this template does not define."
        )
    else:
        parts.uses.setdefault(found.name, set()).add(use)
