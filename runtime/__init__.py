"""What is shipped to the accounts: the link, the gate, the client, the server and the built-in app."""

import os

# Before grpc is loaded: its C core reports every refused handshake on stderr; our errors say who and why.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# Nothing of ours calls home; Flower would.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
