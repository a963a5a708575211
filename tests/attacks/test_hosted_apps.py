"""A server that deviates, and apps that tell more than they declare, against a client of any Flower app."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_federation import write_app
from attacker import Refused
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

from runtime.client.hosting.hosted_app import HostedApp
from runtime.client.signing_key import make_file
from runtime.flower_app import FlowerApp
from runtime.link import flower
from runtime.link.client import handle_with
from runtime.messages import SECURE, MessageType

SERVER = "app = lambda *_: None\n"
CLIENT = """
    import numpy as np
    from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict, Message
    from flwr.clientapp import ClientApp

    app = ClientApp()
    SECRET = np.array([3.25, 1.5, 8.75])

    def replying(message, **records):
        return Message(RecordDict(records), reply_to=message)

    @app.train()
    def train(message, context):
        arrays = ArrayRecord({"w": Array(SECRET)})
        return replying(message, arrays=arrays, metrics=MetricRecord({"num-examples": 50}))

    @app.query("few")
    def few(message, context):
        arrays = ArrayRecord({"w": Array(SECRET)})
        return replying(message, arrays=arrays, metrics=MetricRecord({"num-examples": 3}))

    @app.query("weightless")
    def weightless(message, context):
        return replying(message, arrays=ArrayRecord({"w": Array(SECRET)}))

    @app.query("quiet")
    def quiet(message, context):
        return replying(message, notes=ConfigRecord({"row": SECRET.tolist()}))

    @app.query("really_quiet")
    def really_quiet(message, context):
        return replying(message)

    @app.query("text")
    def text(message, context):
        return replying(message, notes=ConfigRecord({"row": "Jane"}), m=MetricRecord({"num-examples": 50}))

    @app.query("bytes")
    def as_bytes(message, context):
        arrays = ArrayRecord({"w": Array(np.frombuffer(SECRET.tobytes(), np.uint8))})
        return replying(message, arrays=arrays, metrics=MetricRecord({"num-examples": 50}))

    @app.query("noisy")
    def noisy(message, context):
        return replying(message, arrays=ArrayRecord({"w": Array(SECRET)}))

    @app.evaluate()
    def evaluate(message, context):
        return replying(message, metrics=MetricRecord({"num-examples": 50, "loss": 0.5}))
"""
DECLARED = """
[tool.fedstack.messages]
train = "sums"
"query.few" = "sums"
"query.weightless" = "sums"
"query.text" = "sums"
"query.bytes" = "sums"
"query.quiet" = "nothing"
"query.really_quiet" = "nothing"
"query.noisy" = "noise"
"""
NAMES = ("north", "south", "west")


class Client:
    """One client of the app, and its owner's policy."""

    def __init__(self, folder: Path, policy: Mapping[str, Any] | None = None, name: str = "north") -> None:
        hosted = HostedApp(FlowerApp.read(folder), {"name": name})
        self.node = flower.number_of(name)
        hosted.begin(self.node, {})
        flower.adopt_identity(1)
        self._handle = handle_with(
            hosted, Context(1, self.node, {"name": name, **(policy or {})}, RecordDict(), {})
        )
        self._count = 0

    def ask(self, kind: str, content: RecordDict | None = None) -> RecordDict:
        message = Message(content or RecordDict(), self.node, kind)
        self._count += 1
        flower.stamp(message, f"message-{self._count}")
        reply = flower.from_parts(flower.to_parts(self._handle(flower.from_parts(flower.to_parts(message)))))
        if reply.has_error():
            raise Refused(str(reply.error.reason))
        return reply.content


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write_app(tmp_path / "app", SERVER, CLIENT, more=DECLARED)


@pytest.fixture
def members(tmp_path: Path, app: Path) -> dict[str, Client]:
    """Three clients whose keys are exchanged: sums can be asked for."""
    keys = {name: make_file(tmp_path / "keys" / f"{name}.pem") for name in NAMES}
    made = {
        name: Client(
            app,
            {
                "privacy-cohort": " ".join(f"{other}={key}" for other, key in keys.items() if other != name),
                "privacy-signing-key": f"file://{tmp_path / 'keys' / name}.pem",
            },
            name,
        )
        for name in NAMES
    }
    said = {name: one.ask(MessageType.SECURE_KEYS, secure()) for name, one in made.items()}
    told = [said[name].config_records[SECURE] for name in NAMES]
    lists = {
        "names": list(NAMES),
        "agreement-keys": [one["agreement-key"] for one in told],
        "min-cohorts": [one["min-cohort"] for one in told],
        "whole-cohorts": [one["whole-cohort"] for one in told],
        "signatures": [one["signature"] for one in told],
    }
    for one in made.values():
        one.ask(MessageType.SECURE_MEMBERS, secure(**lists))
    return made


def secure(**told: Any) -> RecordDict:
    return RecordDict({SECURE: ConfigRecord({"run": "run-attack", **told})})


def holds_secret(content: RecordDict) -> bool:
    secret = np.array([3.25, 1.5, 8.75])
    arrays = [array.numpy() for record in content.array_records.values() for array in record.values()]
    return any(secret.tobytes() in array.tobytes() for array in arrays)


@pytest.mark.parametrize(
    "kind", ["train", "train.default", "evaluate", "query.few", "query.noisy", "query.new"]
)
def test_plain_answers_are_refused_by_default(app: Path, kind: str) -> None:
    with pytest.raises(Refused, match="would be visible to the server, and updates may leave only in sums"):
        Client(app).ask(kind)


@pytest.mark.parametrize("kind", ["train", "query.weightless", "query.noisy", "evaluate"])
def test_where_the_owner_wrote_plain_they_are_visible(app: Path, kind: str) -> None:
    content = Client(app, {"privacy-updates": "plain"}).ask(kind)
    assert holds_secret(content) == (kind != "evaluate")


def test_a_declared_answer_leaves_masked(members: dict[str, Client]) -> None:
    content = members["north"].ask("train", secure(sum="one"))
    assert list(content.array_records) == ["arrays"]
    assert list(content.array_records["arrays"]) == ["masked"]
    assert not holds_secret(content)
    assert not dict(content.metric_records["metrics"])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("evaluate", "would be visible to the server"),
        ("query.noisy", "would be visible to the server"),
        ("query.few", "would come from fewer than 11 rows"),
        ("query.weightless", "it needs one metric 'num-examples'"),
        ("query.text", r"its config records \['notes'\] have no mean"),
        ("query.bytes", "'w' is uint8, which has no mean"),
        ("query.quiet", r"was to release nothing and holds \['notes'\]"),
    ],
)
def test_what_cannot_be_masked_does_not_leave(members: dict[str, Client], kind: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        members["north"].ask(kind, secure(sum="one"))


def test_an_answer_that_holds_nothing_may_leave(members: dict[str, Client]) -> None:
    assert not len(members["north"].ask("query.really_quiet"))


def test_a_refusal_is_final(members: dict[str, Client]) -> None:
    with pytest.raises(Refused):
        members["north"].ask("evaluate")
    with pytest.raises(Refused, match="would be visible"):
        members["north"].ask("train", secure(sum="one"))


def test_answers_are_counted(app: Path) -> None:
    client = Client(app, {"privacy-updates": "plain", "privacy-max-answers": 2})
    client.ask("train")
    client.ask("train.default")
    with pytest.raises(Refused, match="was answered 2 times in this run"):
        client.ask("train")


def test_an_owner_who_wants_noise_lets_no_app_answer(app: Path) -> None:
    """Noise that an app says that it adds is accounted for by nobody."""
    client = Client(app, {"privacy-updates": "noise", "privacy-epsilon-budget": 4.0})
    for kind in ("train", "query.noisy"):
        with pytest.raises(Refused, match="is not differentially private, and only noise may leave"):
            client.ask(kind)


def test_the_question_of_one_client_is_not_another_s(members: dict[str, Client]) -> None:
    """Different content for one of them: the masks do not cancel."""
    from functools import reduce

    from runtime.privacy import fixed_point, masking

    total = []
    for number, (name, client) in enumerate(members.items()):
        content = secure(sum="one")
        content["arrays"] = ArrayRecord({"w": Array(np.full(3, float(number)))})
        words = client.ask("train", content).array_records["arrays"]["masked"].numpy()
        seed = client.ask(MessageType.SECURE_UNMASK, secure(sum="one")).config_records[SECURE]["seed"]
        own = masking.expand(bytes(seed), *words.shape)  # type: ignore[arg-type]
        total.append(fixed_point.add(words, fixed_point.negative(own)))
        assert name in NAMES
    summed = fixed_point.decode(reduce(fixed_point.add, total))
    assert abs(summed[0] - 150) > 1e6


@pytest.mark.parametrize(
    "layout",
    [
        "",
        "{",
        "[]",
        '[["other", "x", []]]',
        '[["arrays", "x", [["w", "O", [2]]]]]',
        '[["arrays", "x", [["w", "<f8", [-1]]]]]',
        "[" * 100000,
    ],
)
def test_a_layout_that_a_member_made_up_is_read_by_no_surprise(layout: str) -> None:
    from runtime.privacy import averaged_reply
    from runtime.privacy.averaged_reply import NotAveragedError

    try:
        read = averaged_reply.read(layout)
    except NotAveragedError:
        return
    assert averaged_reply.length_of(read) == 1
