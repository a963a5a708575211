"""Any Flower app runs unmodified, and the platform does for it what it does for the built-in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_federation import AppFederation, write_app
from flwr.app import Array, ArrayRecord, Message

from rehearsal import baselines
from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.messages import MASKED, SECURE, Secure
from runtime.privacy import averaged_reply

MEAN_SERVER = """
    import numpy as np
    from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
    from flwr.serverapp import ServerApp
    from flwr.serverapp.strategy import FedAvg

    app = ServerApp()

    @app.main()
    def main(grid, context):
        result = FedAvg(fraction_evaluate=1.0).start(
            grid=grid,
            initial_arrays=ArrayRecord({"w": __import__("flwr").app.Array(np.zeros((2, 3), np.float32))}),
            num_rounds=context.run_config["rounds"],
            evaluate_fn=lambda number, arrays: MetricRecord({"size": float(arrays["w"].numpy().sum())}),
        )
        np.savez("own.npz", *result.arrays.to_numpy_ndarrays())
"""

MEAN_CLIENT = """
    import numpy as np
    from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict, Message
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.train()
    def train(message, context):
        number = context.node_config["partition-id"]
        w = message.content["arrays"]["w"].numpy() + np.float32(number + 1)
        metrics = MetricRecord({"num-examples": 20 + number, "loss": float(number), "count": 2})
        content = RecordDict({"arrays": ArrayRecord({"w": Array(w)}), "metrics": metrics})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        accuracy = 0.5 + context.node_config["partition-id"] / 10
        metrics = MetricRecord({"num-examples": 20, "accuracy": accuracy})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)
"""

DECLARED = '[tool.fedstack.messages]\ntrain = "sums"\nevaluate = "sums"'
READ = "from pathlib import Path; text = Path(context.node_config['data']).read_text()"
PICKLED = 'Array(dtype="object", shape=(1,), stype="numpy.ndarray", data=b"\\x80\\x04N.")'
MEANS = float(np.average([1, 2, 3], weights=[20, 21, 22]))


def one_question(kind: str = "query", after: str = "", content: str = "RecordDict()") -> str:
    """A ServerApp that asks everybody once and then does something with the replies."""
    return f"""
    from pathlib import Path
    from flwr.app import Message, RecordDict, ConfigRecord
    from flwr.serverapp import ServerApp

    app = ServerApp()

    @app.main()
    def main(grid, context):
        sent = [Message({content}, node, "{kind}") for node in grid.get_node_ids()]
        replies = list(grid.send_and_receive(sent))
        {after or "pass"}
"""


def answering(body: str, kind: str = "query", above: str = "pass") -> str:
    """A ClientApp with one handler."""
    return f"""
    import numpy as np
    from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict, Message
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.{kind}()
    def handle(message, context):
        {above}
        return Message({body}, reply_to=message)
"""


def test_an_apps_strategy_runs_to_its_result(tmp_path: Path) -> None:
    federation = AppFederation(tmp_path, write_app(tmp_path / "app", MEAN_SERVER, MEAN_CLIENT))
    report = federation.run()
    assert (report["verdict"], report["code"], report["reason"]) == ("COMPLETE", 0, None)
    assert [client["status"] for client in report["clients"]] == ["answered everything"] * 3
    assert report["privacy"]["visible"] == ["silo-0", "silo-1", "silo-2"]
    kinds = [(one["kind"], one["round"]) for one in report["exchanges"]]
    assert kinds == [("train", 1), ("evaluate", 1), ("train", 2), ("evaluate", 2)]
    assert report["curves"]["train: loss"] == [
        [1, pytest.approx(64 / 63 + 1 / 63)],
        [2, pytest.approx(65 / 63)],
    ]
    assert report["curves"]["evaluate: accuracy"][-1] == [2, pytest.approx(0.6)]
    assert [number for number, _ in report["curves"]["server: size"]] == [0, 1, 2]
    with np.load(tmp_path / "out" / "result.npz", allow_pickle=False) as saved:
        np.testing.assert_allclose(saved["w"], np.full((2, 3), 2 * MEANS), rtol=1e-6)
    assert report["files"]["app"] == ["own.npz"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "evaluate: accuracy" in page
    assert "<script" not in page


def test_a_rehearsal_adds_its_phases_to_the_page_of_an_app(tmp_path: Path) -> None:
    federation = AppFederation(tmp_path, write_app(tmp_path / "app", MEAN_SERVER, MEAN_CLIENT))
    report = federation.run()
    out = tmp_path / "out"
    baselines.add_seconds(out, {"setup": 1.0, "destroy": 2.0})
    again, page = json.loads((out / "report.json").read_text()), (out / "report.html").read_text()
    assert list(again["seconds"]) == ["setup", "join", "app", "destroy"]
    assert again["versions"]["app"] == report["app"]["sha256"]
    assert "answered all that they were asked" in page
    assert "federated model" not in page


def test_in_sums_the_server_sees_one_answer_that_stands_for_all(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", MEAN_SERVER, MEAN_CLIENT, more=DECLARED)
    federation = AppFederation(tmp_path, app)
    report = federation.run("sums")
    assert (report["verdict"], report["privacy"]["visible"]) == ("COMPLETE", [])
    with np.load(tmp_path / "out" / "result.npz", allow_pickle=False) as saved:
        np.testing.assert_allclose(saved["w"], np.full((2, 3), 2 * MEANS), rtol=1e-6)
        assert saved["w"].dtype == np.float32
    assert report["curves"]["train: loss"][0] == [1, pytest.approx(65 / 63)]
    assert report["curves"]["evaluate: accuracy"][0] == [1, pytest.approx(0.6)]
    assert report["exchanges"][0]["clients"] == dict.fromkeys(federation.names, "in the sum")
    assert federation.grid is not None
    single = np.full((2, 3), 2, np.float32).tobytes()
    assert not any(single in part for part in federation.grid.crossed)


def test_who_says_that_its_answer_is_something_else_is_lost_and_not_all_others(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", MEAN_SERVER, MEAN_CLIENT, more=DECLARED)
    federation = AppFederation(tmp_path, app)
    first = min(federation.names, key=flower.number_of)

    def lie(name: str, reply: Message) -> Message:
        if name == first and not reply.has_error() and "arrays" in reply.content:
            said = reply.content.config_records[SECURE]
            said[Secure.LAYOUT] = averaged_reply.write([("metrics", "m", [["num-examples", "", []]])])
            reply.content["arrays"] = ArrayRecord({MASKED: Array(np.zeros((2, 1), np.uint64))})
        return reply

    with pytest.raises(FedstackError, match="2 members are left to be summed, 3 are needed") as caught:
        federation.run("sums", change=lie)
    assert f"{first}: its answer cannot be summed: it has [[" in caught.value.what
    assert caught.value.what.count("cannot be summed") == 1


def test_what_an_app_does_not_declare_leaves_in_no_sum(tmp_path: Path) -> None:
    more = '[tool.fedstack.messages]\ntrain = "sums"'
    federation = AppFederation(tmp_path, write_app(tmp_path / "app", MEAN_SERVER, MEAN_CLIENT, more=more))
    with pytest.raises(FedstackError, match="the app does not declare for its messages 'evaluate'") as caught:
        federation.run("sums")
    assert caught.value.code is ExitCode.PRIVACY_POLICY
    assert federation.report()["verdict"] == "FAILED"


def test_an_app_may_sample_and_the_sum_has_everybody(tmp_path: Path) -> None:
    server = MEAN_SERVER.replace(
        "FedAvg(fraction_evaluate=1.0)", "FedAvg(fraction_train=0.5, fraction_evaluate=0.0)"
    )
    federation = AppFederation(tmp_path, write_app(tmp_path / "app", server, MEAN_CLIENT, more=DECLARED))
    report = federation.run("sums")
    assert report["verdict"] == "COMPLETE"
    assert all(len(one["clients"]) == 3 for one in report["exchanges"])


def test_an_apps_own_loop_may_push_and_pull_and_keep_state(tmp_path: Path) -> None:
    server = """
    import json
    from flwr.app import Message, RecordDict
    from flwr.serverapp import ServerApp

    app = ServerApp()

    @app.main()
    def main(grid, context):
        told = []
        for _ in range(3):
            ids = list(grid.push_messages(
                [Message(RecordDict(), node, "query.count") for node in grid.get_node_ids()]
            ))
            while ids:
                for reply in grid.pull_messages(ids):
                    ids.remove(reply.metadata.reply_to_message_id)
                    told.append([reply.content["said"]["times"], reply.content["said"]["who"]])
        with open("told.json", "w") as file:
            json.dump(told, file)
"""
    client = """
    from flwr.app import ConfigRecord, RecordDict, Message
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.query("count")
    def count(message, context):
        if "mine" not in context.state.config_records:
            context.state["mine"] = ConfigRecord({"times": 0})
        context.state["mine"]["times"] += 1
        said = {"times": context.state["mine"]["times"], "who": context.node_config["region"]}
        return Message(RecordDict({"said": ConfigRecord(said)}), reply_to=message)
"""
    federation = AppFederation(tmp_path, write_app(tmp_path / "app", server, client))
    nodes = {name: {"region": name.upper()} for name in federation.names}
    assert federation.run(nodes=nodes)["verdict"] == "COMPLETE"
    told = json.loads((tmp_path / "out" / "told.json").read_text())
    assert [times for times, _ in told] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert {who for _, who in told} == {"SILO-0", "SILO-1", "SILO-2"}


def test_mods_and_run_config_are_the_apps(tmp_path: Path) -> None:
    client = """
    from flwr.app import MetricRecord, RecordDict, Message
    from flwr.clientapp import ClientApp

    def adding(message, context, call_next):
        reply = call_next(message, context)
        reply.content["metrics"]["seen"] = context.run_config["offset"]
        return reply

    app = ClientApp(mods=[adding])

    @app.query()
    def handle(message, context):
        return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)
"""
    app = write_app(tmp_path / "app", one_question(), client, config="offset = 2.5")
    assert AppFederation(tmp_path, app).run()["curves"]["query: seen"] == [[1, 2.5]]
    report = AppFederation(tmp_path, app).run(run_config={"offset": 4.0})
    assert report["curves"]["query: seen"] == [[1, 4.0]]
    assert report["app"]["run_config"] == {"offset": 4.0}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"run_config": {"offsets": 1}}, "did you mean 'rounds'|which the app does not know"),
        ({"resume": True}, "only the built-in app keeps a checkpoint"),
        ({"updates": "noise"}, "accounted for by nobody"),
        ({"updates": "sums", "engine": "simulation", "silos": "x"}, "needs an owner's `updates: plain`"),
        ({"updates": "sums", "min_clients": 2}, "a sum has 3 members at least"),
        ({"app": "nowhere"}, "is no Flower app"),
        ({"strategy": "fedavg"}, "strategy"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    federation = AppFederation(tmp_path, write_app(tmp_path / "app", MEAN_SERVER, MEAN_CLIENT))
    with pytest.raises(FedstackError, match=said) as caught:
        federation.run(**settings)
    assert caught.value.code is ExitCode.CONFIG


def test_an_error_of_the_server_app_is_one_line_with_its_place(tmp_path: Path) -> None:
    server = one_question(after="raise KeyError('no such thing')")
    app = write_app(tmp_path / "app", server, answering("RecordDict()"))
    federation = AppFederation(tmp_path, app)
    with pytest.raises(
        FedstackError, match=r"ServerApp raised KeyError at .*server_app\.py, line 12"
    ) as caught:
        federation.run()
    assert caught.value.code is ExitCode.SERVER_APP
    report = federation.report()
    assert (report["verdict"], report["code"]) == ("FAILED", int(ExitCode.SERVER_APP))


def test_nothing_of_a_clients_error_crosses_but_its_kind_and_place(tmp_path: Path) -> None:
    app = write_app(
        tmp_path / "app",
        one_question(),
        answering(
            "RecordDict()",
            above=f"{READ}; raise ValueError(f'the patient is {{text}}')",
        ),
    )
    federation = AppFederation(tmp_path, app)
    federation.data["silo-1"].write_text("x,label\nJane Doe,1\n")
    with pytest.raises(
        FedstackError, match=r"raised ValueError on 'query' at .*client_app\.py, line 10"
    ) as caught:
        federation.run()
    assert caught.value.code is ExitCode.QUORUM
    assert federation.grid is not None
    everything = b"".join(federation.grid.crossed) + (tmp_path / "out" / "ledger.jsonl").read_bytes()
    assert b"Jane" not in everything + (tmp_path / "out" / "report.json").read_bytes()


def test_replies_that_weigh_nothing_are_named(tmp_path: Path) -> None:
    client = MEAN_CLIENT.replace("20 + number", "0")
    federation = AppFederation(tmp_path, write_app(tmp_path / "app", MEAN_SERVER, client))
    with pytest.raises(
        FedstackError, match=r"'train' have num-examples that add up to 0: silo-0, silo-1, silo-2"
    ):
        federation.run()
    assert federation.report()["code"] == int(ExitCode.SERVER_APP)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            'RecordDict({"a": ArrayRecord({"w": Array(np.array([1.0, np.nan]))})})',
            "'w' has numbers that are not",
        ),
        ('RecordDict({"m": MetricRecord({"loss": float("inf")})})', "the metric 'loss' is not finite"),
        ('RecordDict({"m": MetricRecord({"loss": [1.0, float("nan")]})})', "the metric 'loss' is not finite"),
        (
            f'RecordDict({{"a": ArrayRecord({{"w": {PICKLED}}})}})',
            "an array cannot be decoded",
        ),
    ],
)
def test_a_reply_that_cannot_be_used_is_refused_by_name(tmp_path: Path, body: str, said: str) -> None:
    app = write_app(tmp_path / "app", one_question(), answering(body))
    with pytest.raises(FedstackError, match=said):
        AppFederation(tmp_path, app).run()


def test_with_a_quorum_the_others_go_on_and_the_verdict_is_partial(tmp_path: Path) -> None:
    federation = AppFederation(tmp_path, write_app(tmp_path / "app", MEAN_SERVER, MEAN_CLIENT))

    def gone(name: str, reply: Message) -> Message | None:
        return None if name == "silo-1" else reply

    report = federation.run(min_clients=2, change=gone)
    assert (report["verdict"], report["code"]) == ("PARTIAL", int(ExitCode.PARTIAL))
    assert "silo-1: 4 of 4 replies could not be used (no reply in time)" in report["reason"]
    with pytest.raises(FedstackError, match=r"2 of 3 replies to 'train' can be used, 3 are needed \(silo-1"):
        federation.run(change=gone)


def test_a_forged_array_among_good_ones_costs_only_who_sent_it(tmp_path: Path) -> None:
    federation = AppFederation(tmp_path, write_app(tmp_path / "app", MEAN_SERVER, MEAN_CLIENT))

    def forged(name: str, reply: Message) -> Message:
        if name == "silo-2" and reply.metadata.message_type == "train":
            reply.content["arrays"] = ArrayRecord({"w": Array(np.full((2, 3), np.inf, np.float32))})
        return reply

    report = federation.run(min_clients=2, change=forged)
    assert report["verdict"] == "PARTIAL"
    with np.load(tmp_path / "out" / "result.npz") as saved:
        np.testing.assert_allclose(saved["w"], 2 * np.average([1, 2], weights=[20, 21]), rtol=1e-6)


def test_an_app_that_asks_nobody_is_no_run(tmp_path: Path) -> None:
    server = one_question().replace("list(grid.send_and_receive(sent))", "[]")
    app = write_app(tmp_path / "app", server, answering("RecordDict()"))
    report = AppFederation(tmp_path, app).run()
    assert (report["verdict"], report["code"]) == ("FAILED", int(ExitCode.SERVER_APP))
    assert "without asking any client" in report["reason"]


def test_a_message_to_a_stranger_is_an_error_that_names_it(tmp_path: Path) -> None:
    server = one_question().replace("grid.get_node_ids()", "[7]")
    app = write_app(tmp_path / "app", server, answering("RecordDict()"))
    with pytest.raises(FedstackError, match="sent a message to node-7, which is not among the run's nodes"):
        AppFederation(tmp_path, app).run()


def test_the_run_deadline_ends_an_app_that_goes_on_and_on(tmp_path: Path) -> None:
    server = one_question(after="[list(grid.send_and_receive(sent)) for _ in range(10**9)]")
    app = write_app(tmp_path / "app", server, answering("RecordDict()"))
    patient = {f"silo-{n}": {"privacy-max-answers": 10**9} for n in range(3)}
    with pytest.raises(FedstackError, match=r"The run took more than 0\.5 s"):
        AppFederation(tmp_path, app).run(run_seconds=0.5, policies=patient)


def test_another_apps_names_are_shown_escaped(tmp_path: Path) -> None:
    body = 'RecordDict({"m": MetricRecord({"<b>\\x1b[31m": 1.0, "num-examples": 1})})'
    app = write_app(
        tmp_path / "app", one_question(after="list(grid.send_and_receive(sent))"), answering(body)
    )
    AppFederation(tmp_path, app).run()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_a_client_is_told_of_a_run_once(tmp_path: Path) -> None:
    from runtime.client.hosting.hosted_app import HostedApp
    from runtime.flower_app import FlowerApp

    app = FlowerApp.read(write_app(tmp_path / "app", MEAN_SERVER, MEAN_CLIENT))
    hosted = HostedApp(app, {"name": "north"})
    hosted.begin(3, {"run-config": {"rounds": 4}, "partition-id": 0})
    hosted.begin(3, {"run-config": {"rounds": 4}, "partition-id": 0})
    with pytest.raises(FedstackError, match="changed during the run"):
        hosted.begin(3, {"run-config": {"rounds": 5}, "partition-id": 0})


def test_the_owner_s_node_config_is_not_the_server_s_to_change(tmp_path: Path) -> None:
    told = "','.join(r.content['c']['said'] for r in replies)"
    body = 'RecordDict({"c": ConfigRecord({"said": str(context.node_config["partition-id"])})})'
    server = one_question(after=f"Path('said').write_text({told})")
    app = write_app(tmp_path / "app", server, answering(body))
    AppFederation(tmp_path, app).run(nodes={"silo-1": {"partition-id": 77}})
    assert (tmp_path / "out" / "said").read_text() == "0,77,2"
