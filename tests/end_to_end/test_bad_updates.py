"""Updates that may not enter the model: refused by name, and the round goes on with the others."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict

from end_to_end.hub import code_of
from end_to_end.inside import App, Inside, Update, bent, filled, honest, updating
from rehearsal.link.place import NAMES, Place
from runtime.contract import ExitCode
from runtime.link import flower

Bend = Callable[[Message, Message], Message]


def assert_refused(root: Path, bad: Mapping[str, tuple[App, str]]) -> None:
    """Run three honest clients with all these bad ones: each is refused for its reason in every round."""
    place = Place(root, (*NAMES, *bad))
    run = Inside(place, honest(*NAMES) | {name: one for name, (one, _) in bad.items()}, min_clients=3)
    report = run.end()
    assert {name: client.end() for name, client in run.clients.items()} == dict.fromkeys(place.names)
    assert (report["verdict"], report["code"]) == ("PARTIAL", ExitCode.PARTIAL)
    assert report["final"]["roc_auc"] > 0.7
    for name, (_, reason) in bad.items():
        assert f"{name} to 0 of 2 rounds" in report["reason"]
        refusals = place.reasons(name, "update_refused")
        assert [one[: len(reason)] for one in refusals] == [reason, reason]
        assert [entry["clients"][name]["status"] for entry in report["rounds"]] == refusals
    for entry in report["rounds"]:
        assert [entry["clients"][name]["status"] for name in NAMES] == ["ok"] * 3


def with_one(name: str, at: int, value: float) -> Callable[[Update], Update]:
    def change(update: Update) -> Update:
        array = update[name].copy()
        array.flat[at] = value
        return update | {name: array}

    return change


def coef(shape: tuple[int, ...], dtype: str = "float64") -> Callable[[Update], Update]:
    return lambda update: update | {"coef": filled(shape, dtype=dtype)}


def test_an_update_that_is_not_of_the_model_is_refused_by_name(tmp_path: Path) -> None:
    changes: dict[str, tuple[Callable[[Update], Update], str]] = {
        "nan": (with_one("coef", 7, np.nan), "'coef' has 1 NaN or infinite values of 49"),
        "infinite": (with_one("intercept", 0, np.inf), "'intercept' has 1 NaN or infinite values of 1"),
        "transposed": (coef((49, 1)), "'coef' has shape (49, 1), expected (1, 49)"),
        "short": (coef((1, 48)), "'coef' is float64 of shape (1, 48) in"),
        "single": (coef((1, 49), "float32"), "'coef' is float32 of shape"),
        "big-endian": (coef((1, 49), ">f8"), "'coef' has dtype >f8, expected float64"),
        "integers": (coef((1, 49), "int64"), "'coef' has dtype int64, expected float64"),
        "lacking": (lambda update: {"coef": update["coef"]}, "the arrays are ['coef'], expected ['coef', 'i"),
        "surplus": (
            lambda update: update | {"more": filled((1,))},
            "the arrays are ['coef', 'intercept', 'm",
        ),
        "renamed": (lambda update: {"w": update["coef"], "b": filled((1,))}, "the arrays are ['w', 'b']"),
        "huge": (coef((3_000_000,)), "the reply has 24,00"),
    }
    assert_refused(tmp_path, {name: (updating(change), reason) for name, (change, reason) in changes.items()})


def holding(data: bytes) -> App:
    """Send other bytes in place of an array, as many as it had."""

    def bend(message: Message, reply: Message) -> Message:
        arrays = dict(reply.content.array_records["arrays"])
        size = len(arrays["coef"].data)
        arrays["coef"] = Array("float64", (1, 49), "numpy.ndarray", data.ljust(size, b"\0")[:size])
        content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": reply.content["metrics"]})
        return Message(content, reply_to=message)

    return bent(bend)


def headed(header: str) -> App:
    """Send an array under a header of numpy's that is not true."""
    text = header.encode().ljust(117) + b"\n"
    return holding(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


def saved(save: Callable[..., None], *args: Any, **options: Any) -> App:
    """Send what numpy wrote, but not as the model is written."""
    buffer = io.BytesIO()
    save(buffer, *args, **options)
    return holding(buffer.getvalue())


def test_bytes_that_are_no_array_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    apps = {
        "terabytes": headed("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"),
        "dimensions": headed("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1, " * 25 + ") }"),
        "unclosed": headed("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 49"),
        "nested": headed("((((((((((((((("),
        "void": headed("{'descr': 'V99999999', 'fortran_order': False, 'shape': (9,) }"),
        "archive": saved(np.savez, w=np.zeros(5)),
        "pickle": saved(np.save, np.array([print], dtype=object), allow_pickle=True),
        "noise": holding(bytes(range(256))),
    }
    said = {"dimensions": "'coef' has shape"}
    assert_refused(
        tmp_path, {name: (one, said.get(name, "'coef' cannot be decoded: ")) for name, one in apps.items()}
    )


def measuring(metrics: dict[str, Any]) -> App:
    """Send other metrics."""

    def bend(message: Message, reply: Message) -> Message:
        said = MetricRecord({**reply.content.metric_records["metrics"], **metrics})
        content = RecordDict({"arrays": reply.content["arrays"], "metrics": said})
        return Message(content, reply_to=message)

    return bent(bend)


def leak(message: Message, reply: Message) -> Message:
    raise ValueError("patient McCoy has 3 claims")


def test_metrics_that_cannot_be_true_and_apps_that_raise_are_refused(tmp_path: Path) -> None:
    assert_refused(
        tmp_path,
        {
            "nobody": (measuring({"num-examples": 0}), "num-examples is 0, expected an integer"),
            "negative": (measuring({"num-examples": -5}), "num-examples is -5"),
            "everybody": (measuring({"num-examples": 10**12}), "num-examples is 1000000000000"),
            "fraction": (measuring({"num-examples": 5.0}), "num-examples is 5.0"),
            "listed": (measuring({"num-examples": [5]}), "num-examples is [5]"),
            "timeless": (measuring({"train-seconds": float("nan")}), "the metric 'train-seconds' is nan"),
            "series": (measuring({"train-seconds": [1.0]}), "the metric 'train-seconds' is [1.0]"),
            "surplus": (measuring({"secret": 1.0}), "the metrics are ['num-examples', 'secret', 'train-l"),
            "empty": (bent(lambda message, _: Message(RecordDict(), reply_to=message)), "the metrics are []"),
            "raising": (bent(leak), "ValueError"),
        },
    )
    out = tmp_path / "out"
    assert "McCoy" not in (out / "ledger.jsonl").read_text() + (out / "report.json").read_text()


def test_what_a_client_says_is_cut_short_and_no_markup(place: Place) -> None:
    """A reason is the client's own text: neither megabytes of it nor brackets nor escapes may end the run."""
    said = f"[/] [bold]\x1b[31m{'x' * 1_000_000}"

    def fail(message: Message, reply: Message) -> Message:
        return Message(Error(flower.CLIENT_APP_FAILED, said), reply_to=message)

    run = Inside(place, honest("insurer", "pharmacy") | {"clinic": bent(fail)})
    report = run.end()
    assert [code_of(client.end()) for client in run.clients.values()] == [ExitCode.ABORTED] * 3
    assert (report["verdict"], report["code"]) == ("FAILED", ExitCode.QUORUM)
    assert "Round 1 has 2 usable updates, 3 are needed (clinic: [/] [bold]\\x1b[31mxxx" in report["reason"]
    assert place.reasons("clinic", "update_refused") == [said.replace("\x1b", "\\x1b")[:500]]
