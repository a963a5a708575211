"""What the server's account adds for one client once that client has peered: the way back, and the port."""

from __future__ import annotations

from collections.abc import Sequence

from constructs import Construct

from cdk_app.config.models import ClientAccount, Federation
from cdk_app.constructs.account_stack import AccountStack
from cdk_app.constructs.network.peering import ReturnPath
from cdk_app.naming import ServerNames, server_peer_stack
from runtime.contract import LINK_PORT


class ServerPeerStack(AccountStack):
    """Deployed by the server's operator, once per client; removing a client removes exactly this."""

    def __init__(
        self,
        scope: Construct,
        *,
        federation: Federation,
        client: ClientAccount,
        route_table_ids: Sequence[str],
        link_group_id: str,
    ) -> None:
        server = ServerNames(federation.name, federation.server.account, federation.server.region)
        name, about = server_peer_stack(server, client.name), f"The server's way back to {client.name}"
        super().__init__(scope, name, place=federation.server, description=about)
        ReturnPath(
            self,
            peering_id=client.peering_id,
            client_cidr=client.cidr,
            client_name=client.name,
            route_table_ids=route_table_ids,
            server_group_id=link_group_id,
            port=LINK_PORT,
        )
