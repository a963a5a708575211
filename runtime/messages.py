"""The one vocabulary of what server and clients say to each other: kinds of message, records, keys.

An app declares in its pyproject.toml what the answer to each kind releases; the client's privacy policy goes
by that, and a kind that is not declared releases everything as far as the policy is concerned.
"""

from __future__ import annotations

import enum
from typing import Final


class Releases(enum.StrEnum):
    """What the answer to a kind of message tells of the rows."""

    NOTHING = "nothing"
    NOISE = "noise"
    """Noisy sums, paid for from the budget; or nothing but how many rows there are."""
    SUMS = "sums"
    """Sums over the rows, of a fixed size: they can be masked."""
    PLAIN = "plain"
    """Something that cannot be masked."""


class MessageType(enum.StrEnum):
    """Every kind of message of the built-in app and of secure aggregation, as Flower's metadata have it."""

    PREPARE = "query.prepare"
    FEATURE_SUMS = "query.feature_sums"
    FEATURE_SQUARES = "query.feature_squares"
    PREPARE_PRIVATE = "query.prepare_private"
    TRAIN = "train"
    CURVATURE = "train.curvature"
    BINS = "train.bins"
    HISTOGRAMS = "train.histograms"
    TRAIN_PRIVATE = "train.private"
    CURVATURE_PRIVATE = "train.private_curvature"
    EVALUATE = "evaluate"
    CLIENT_GAIN = "query.client_gain"
    FINISH = "query.finish"
    SECURE_KEYS = "query.secure_keys"
    SECURE_MEMBERS = "query.secure_members"
    SECURE_UNMASK = "query.secure_unmask"
    SECURE_GROUP = "query.secure_group"


SECURE_STEPS: Final = frozenset(
    {
        MessageType.SECURE_KEYS,
        MessageType.SECURE_MEMBERS,
        MessageType.SECURE_UNMASK,
        MessageType.SECURE_GROUP,
    }
)
"""The steps of secure aggregation itself, which the platform answers for every app."""

NAME_QUERY: Final = "query.fedstack_name"
"""Asks a node of Flower's own engines who it is, where the app is not the built-in one."""

PLATFORM_KINDS: Final = SECURE_STEPS | {NAME_QUERY}
"""What the platform answers for every app; none of it tells anything of the rows."""


ARRAYS: Final = "arrays"
METRICS: Final = "metrics"
CONFIG: Final = "config"
SECURE: Final = "fedstack.secure"
"""Names of the records of a message."""

MASKED: Final = "masked"
"""The one array of a masked answer."""

FIXED_FOR_A_RUN: Final = (
    "schema",
    "validation",
    "seed",
    "smote",
    "class-weight",
    "model",
    "c",
    "scaler-mean",
    "scaler-scale",
    "scaler-fill",
    "label-weights",
    "feature-means",
    "bin-edges",
    "bin-counts",
    "privacy-noise",
    "privacy-clip",
)
"""Settings of a message that a client holds the server to from the first time on."""

FEW_IN_A_RUN: Final = {
    str(MessageType.FEATURE_SUMS): 1,
    str(MessageType.FEATURE_SQUARES): 1,
    str(MessageType.CLIENT_GAIN): 1,
    str(MessageType.BINS): 3,
}
"""How often an honest server asks some kinds.

Scores of ever other models, and counts up to ever other points, would order the rows.
"""


class Secure(enum.StrEnum):
    """Keys of the record with which secure aggregation speaks."""

    RUN = "run"
    NAMES = "names"
    KEYS = "agreement-keys"
    SIGNATURES = "signatures"
    LEASTS = "min-cohorts"
    WHOLES = "whole-cohorts"
    KEY = "agreement-key"
    SIGNATURE = "signature"
    LEAST = "min-cohort"
    WHOLE = "whole-cohort"
    SUM = "sum"
    SEED = "seed"
    COMMITMENT = "commitment"
    LAYOUT = "layout"
    GROUP = "group-keys"
