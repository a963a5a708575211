"""What the server's account adds for a client whose packets are routed: the port, and the way back."""

from __future__ import annotations

from collections.abc import Sequence

from constructs import Construct

from cdk_app.config.models import ClientAccount, Federation
from cdk_app.constructs.account_stack import AccountStack
from cdk_app.constructs.network.peering import ReturnPath
from cdk_app.constructs.network.peering_accepter import OnePeering
from cdk_app.naming import server_peer_stack
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
        server = federation.server_names
        name, about = server_peer_stack(server, client.name), f"The server's way back to {client.name}"
        super().__init__(scope, name, place=federation.server, description=about)
        peered = federation.reached_by(client) == "peering"
        path = ReturnPath(
            self,
            client_cidr=client.cidr,
            client_name=client.name,
            server_group_id=link_group_id,
            port=LINK_PORT,
        )
        if not peered:
            return  # the owners of both networks have their own routes
        path.add_routes(client.peering_id, route_table_ids)
        OnePeering(self, role_name=server.accepter_role(client.name))
