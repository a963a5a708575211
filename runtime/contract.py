"""Names that the accounts' infrastructure and the code that runs there share.

Whatever crosses that border is named here once and imported by both sides. Standard library only, so
that a CDK construct, a lifecycle script's generator and a training job can all import it.
"""

from __future__ import annotations

import enum
import re
from typing import Final

RELEASE: Final = "0.1.0"
"""Of Fedstack, as pyproject.toml and CHANGELOG.md have it; both ends must have the same one."""

PROTOCOL: Final = 2
"""Version of the link's wire format; both ends must have the same one."""

LINK_PORT: Final = 9092
"""The one TCP port that client accounts reach in the server account."""

CERTIFICATE_KEY: Final = "{run_id}/{client}/certificate.pem"
"""Where in its account's mailbox a client's job leaves the certificate it made for one run."""

FEDERATION_FILE: Final = "federation.json"
"""The server's roster: which clients there are and where their mailboxes lie. Nothing secret."""

INSTALLED_FILE: Final = "installed.json"
"""Beside the roster on a notebook, on one line: which roster and bundle its start script fetched, and what
the account's stack has to say of its own buckets and network."""

RUNNING_FILE: Final = "running.lock"
"""Beside it: locked by every run that goes on, so that the notebook does not stop itself."""


RESULTS_OUTPUT: Final = "ResultsBucket"
ARTIFACTS_OUTPUT: Final = "ArtifactsBucket"
"""What the stacks' outputs call the buckets that a server's and a client's models are served from."""


class JobOption(enum.StrEnum):
    """Hyperparameters of the client's training job, as script mode passes them (`--run-id ...`)."""

    RUN_ID = "run-id"
    SERVER_ADDRESS = "server-address"
    SERVER_FINGERPRINT = "server-fingerprint"
    CLIENT_NAME = "client-name"
    MAILBOX = "mailbox"
    BUNDLE = "bundle"
    RUN_SECONDS = "run-seconds"
    LINK_HOST = "link-host"
    NODE_CONFIG = "node-config"


class PrivacyOption(enum.StrEnum):
    """More of them: the account's own privacy policy, pinned by its stack (docs/privacy.md)."""

    UPDATES = "privacy-updates"
    COHORT = "privacy-cohort"
    SIGNING_KEY = "privacy-signing-key"
    MIN_COHORT = "privacy-min-cohort"
    MIN_ROWS = "privacy-min-rows"
    MAX_ANSWERS = "privacy-max-answers"
    MAX_NUMBERS_PER_CELL = "privacy-max-numbers-per-cell"
    EPSILON_BUDGET = "privacy-epsilon-budget"
    DELTA = "privacy-delta"
    MIN_NOISE_MULTIPLIER = "privacy-min-noise-multiplier"
    LEDGER = "privacy-ledger"


class Updates(enum.StrEnum):
    """How a client's updates may leave its account, by the owner's own word."""

    SUMS = "sums"
    """Masked only, in a secure aggregate of several members."""
    NOISE = "noise"
    """With differential privacy, paid for from the account's budget."""
    PLAIN = "plain"
    """As they are: the server sees each of them."""


LEAST_COHORT: Final = 3
"""Members of a secure aggregate: of two, each could take its own from the sum."""

MAX_COHORT_OPTIONS: Final = 64
"""Other members that a job can be told, each as an option `privacy-cohort-1`, `-2`, ... of NAME=PUBLIC-KEY.

SageMaker passes at most 100 options of at most 256 characters.
"""


INVITATION: Final = (JobOption.RUN_ID, JobOption.SERVER_ADDRESS, JobOption.SERVER_FINGERPRINT)
"""What the server may say to a client account; every other option is pinned by the client's own stack."""

INVITATION_PATTERNS: Final = {
    JobOption.RUN_ID: r"^run-[0-9a-z][0-9a-z-]{0,13}$",
    JobOption.SERVER_ADDRESS: r"^[A-Za-z0-9][A-Za-z0-9.-]{0,252}:[0-9]{1,5}$",
    JobOption.SERVER_FINGERPRINT: r"^sha256:[0-9a-f]{64}$",
}
"""What each of them must look like. None of them can be read as JSON, which script mode would decode."""

ATTEMPTS: Final = 9
ATTEMPT_PATTERN: Final = f"-[2-{ATTEMPTS}]$"
"""What follows the run's id in the name of an execution that tries again, as a client's lock was taken."""

BUSY: Final = "Busy"
"""The broker's error when another run of its client goes on."""


class ExitCode(enum.IntEnum):
    """How a process of ours ended; docs/troubleshooting.md has one entry for each."""

    OK = 0
    CONFIG = 10
    DATA = 11
    VERSION = 12
    IDENTITY = 13
    UNREACHABLE = 14
    ABORTED = 15
    CLIENT_APP = 16
    PRIVACY_BUDGET = 17
    PRIVACY_POLICY = 18
    SECURE_AGGREGATION = 19
    JOIN_DEADLINE = 20
    QUORUM = 21
    PARTIAL = 22
    RUN_DEADLINE = 23
    ENGINE = 24
    JOB = 25
    SERVER_APP = 26
    PREFLIGHT_SERVER = 27
    PREFLIGHT_CLIENT = 28
    PREFLIGHT_BOTH = 29
    REVIEW = 30
    INTERRUPTED = 130


class FedstackError(Exception):
    """A failure that the user can act on.

    Parameters
    ----------
    code
        The exit code that the process ends with.
    what
        What went wrong, with the value received.
    remedy
        What to do about it, in words of ours only.
    public
        What of it may leave the account, where that is not `what`: words of ours, line numbers and names of
        the schema's columns. `what` itself never does for ExitCode.DATA; see `runtime.errors.crossing`.
    """

    def __init__(self, code: ExitCode, what: str, remedy: str, public: str | None = None) -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.code = code
        self.what = what
        self.remedy = remedy
        self.public = public


POLICY_REFUSES: Final = "This client's privacy policy refuses it"
"""How the answer of a client begins that its owner's policy keeps back."""
FAR_WORSE: Final = "is far worse on this client's rows than one that knows nothing"
"""What it says of a model that is worth nothing."""


def job_name(federation: str, client: str, run: str) -> str:
    """Return the name of a client's training job: 63 characters at most, as SageMaker wants it.

    No name of a federation or client has two hyphens together, so no client's jobs are named as another's.
    """
    return f"{federation}-{client}--{run}"


def server_stack(federation: str, account: str, region: str) -> str:
    """Return the stack that the server's account deploys."""
    return f"{federation}-server-{account}-{region}"


def client_stack(federation: str, client: str, account: str, region: str) -> str:
    """Return the stack that a client's account deploys."""
    return f"{federation}-client-{client}-{account}-{region}"


def model_group(federation: str) -> str:
    """Return the group of a federation's models in each account's SageMaker Model Registry."""
    return f"fedstack-{federation}"


def dns_suffix(region: str) -> str:
    """Return how the names of AWS's hosts end in a Region: China's have a domain of their own."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def check_invitation(option: JobOption, value: str) -> str:
    """Return the value of one invitation field, or say what is wrong with it."""
    if not re.fullmatch(INVITATION_PATTERNS[option], value):
        raise FedstackError(
            ExitCode.CONFIG,
            f"--{option} is {value!r}, which does not match {INVITATION_PATTERNS[option]}.",
            "Pass the value that the server printed in its invitation.",
        )
    return value
