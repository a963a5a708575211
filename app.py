"""The cdk entry point: from federation.yaml to stacks, with every dependency between stacks declared."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk

from cdk_app.bundles import BUNDLES, Bundle, BundleError, check_app, check_images, load_bundles, role_for
from cdk_app.checks import apply_checks
from cdk_app.config.load import ConfigError, Federation, load
from cdk_app.config.models import ClientAccount
from cdk_app.config.roster import roster_json
from cdk_app.config.selection import Selection, select
from cdk_app.config.types import check_qualifier
from cdk_app.constructs.account_stack import PACKAGED_CONTEXT, QUALIFIER_CONTEXT
from cdk_app.size_limits import too_long_in
from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from stacks.client import ClientStack
from stacks.server import ServerStack
from stacks.server_peer import ServerPeerStack


def new_app(**properties: Any) -> cdk.App:
    """Return an app that does not hold its templates against CloudFormation's schemas: the tests do that.

    CDK's own check takes 10 s of CPU before the first template, and most of a client's time after that.
    """
    return cdk.App(builtin_cloud_formation_validation=False, **properties)


def build(app: cdk.App, federation: Federation, bundles: Mapping[str, Bundle]) -> None:
    """Add the stacks of a federation to an app; with `-c account=NAME` those of one account alone.

    No stack depends on one of another account, so that each deploys with one account's credentials;
    docs/deploy.md says what comes first.
    """
    _check_qualifier(app)
    chosen = _chosen(app, federation)
    delete = app.node.try_get_context("delete_data") == federation.name
    for client in chosen.clients:
        bundle = _bundle_of(federation, client, bundles)
        ClientStack(app, federation=federation, client=client, bundle=bundle, delete=delete)
    if chosen.server:
        _build_server(app, federation, bundles["server"], delete=delete)
    apply_checks(app, federation.tags)


def _build_server(app: cdk.App, federation: Federation, bundle: Bundle, *, delete: bool) -> None:
    """Add the stacks of the server's account: its own, and its way back to each client that has one."""
    with tempfile.TemporaryDirectory() as folder:
        roster = Path(folder) / "federation.json"
        roster.write_text(roster_json(federation), encoding="utf-8")
        # The asset is copied into the assembly as the stack is made.
        server = ServerStack(app, federation=federation, bundle=bundle, roster=roster, delete=delete)
    for client in federation.clients:
        if federation.reached_by(client) == "privatelink":
            continue  # the server's one endpoint service serves all of them
        peer = ServerPeerStack(
            app,
            federation=federation,
            client=client,
            route_table_ids=server.route_table_ids,
            link_group_id=server.link_group_id,
        )
        peer.add_stack_dependency(server)


def build_handoff(app: cdk.App, federation: Federation, name: str, bundles: Mapping[str, Bundle]) -> None:
    """Add one client's stack alone, as its hand-off package has it: without `cdk bootstrap`, data kept."""
    # The package's own bucket is under no key of the account's.
    client = federation.client(name).model_copy(update={"asset_key_arn": None})
    names = federation.names_of(client)
    bundle = _bundle_of(federation, client, bundles)
    app.node.set_context(PACKAGED_CONTEXT, f"{names.bundle_bucket}/{bundle.path.name}")
    ClientStack(app, federation=federation, client=client, bundle=bundle, delete=False)
    apply_checks(app, federation.tags)


def _check_qualifier(app: cdk.App) -> None:
    """Hold the qualifier of CDK's context to what the file's is held to: it goes into names and policies."""
    if (told := app.node.try_get_context(QUALIFIER_CONTEXT)) is None:
        return
    try:
        check_qualifier(str(told))
    except ValueError as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{QUALIFIER_CONTEXT} of CDK's context is {printable(told)!r}: {error}",
            "It stands in cdk.json, or in what -c was given.",
        ) from error


def _chosen(app: cdk.App, federation: Federation) -> Selection:
    account = app.node.try_get_context("account")
    return select(federation, None if account is None else str(account))  # a number, in cdk.json


def _bundle_of(federation: Federation, client: ClientAccount, bundles: Mapping[str, Bundle]) -> Bundle:
    return bundles[role_for(federation.job(client).image)]


def main() -> None:
    """Synthesise what federation.yaml (or `-c federation=FILE`) describes, or `-c handoff=CLIENT` of it."""
    app = new_app()
    try:
        file = Path(app.node.try_get_context("federation") or "federation.yaml")
        federation = load(file)
        bundles = Path(app.node.try_get_context("bundles") or BUNDLES)
        check_app(file.parent / federation.app if federation.app else None, federation.run_config, bundles)
        built = load_bundles(bundles)
        handoff = app.node.try_get_context("handoff")
        chosen = Selection(False, (federation.client(handoff),)) if handoff else _chosen(app, federation)
        images = (federation.job(client).image for client in chosen.clients)
        check_images(built, images, server=chosen.server)
        if handoff:
            build_handoff(app, federation, handoff, built)
        else:
            build(app, federation, built)
    except (ConfigError, BundleError, FedstackError) as error:
        sys.exit(str(error))
    assembly = app.synth()
    written = [Path(stack.template_full_path) for stack in assembly.stacks]
    if problems := too_long_in(written, len(federation.clients)):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
