"""What a person can get wrong: one line with what and remedy, the right exit code, and nothing is made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from app_federation import write_app
from assembly import ROOT
from fedstack_line import as_before, call, tree  # noqa: F401 - a fixture
from ledger_pair import Pair

from runtime.contract import ExitCode
from runtime.ledger import Ledger
from runtime.tabular.data.schema import CMS

Arrange = Callable[[Path], object]
CONFIG, DATA = ExitCode.CONFIG, ExitCode.DATA
TINY: Final = {"name": "tiny", "label": "label", "features": ["a", "b"], "as_is": []}
ROWS: Final = "label,a,b\n" + "".join(f"{row % 2},{row},{row * 7 % 5}\n" for row in range(60))


def text(name: str, content: str | bytes) -> Arrange:
    """A file."""
    return lambda here: (here / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def text_in(name: str, content: str) -> Arrange:
    """A file, and the folder that it is in."""
    return both(lambda here: (here / name).parent.mkdir(parents=True), text(name, content))


def link(name: str, to: str) -> Arrange:
    """A symbolic link, which may lead to itself or to nothing."""

    def write(here: Path) -> None:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).symlink_to(to)

    return write


class Raw(str):
    """A schema.json as it stands."""

    __slots__ = ()


def folder(name: str) -> Arrange:
    return lambda here: (here / name).mkdir(parents=True)


def both(*arrange: Arrange) -> Arrange:
    return lambda here: [each(here) for each in arrange]


def table(content: str | bytes, schema: object = TINY) -> Arrange:
    """A data set with a schema beside it."""
    declared = schema if isinstance(schema, Raw) else json.dumps(schema)
    return both(text("data.csv", content), text("schema.json", declared))


def federation(old: str, new: str) -> Arrange:
    """The committed federation file with one thing changed."""
    content = (ROOT / "federation.yaml").read_text()
    assert old in content
    return text("federation.yaml", content.replace(old, new, 1))


def nothing(_: Path) -> None:
    """An empty folder."""


def app(**changed: str) -> Arrange:
    """A Flower app with lines of its pyproject.toml replaced."""

    def write(here: Path) -> None:
        made = write_app(here / "app", "app = print", "app = print")
        project = made / "pyproject.toml"
        for old, new in changed.items():
            assert old in project.read_text()
            project.write_text(project.read_text().replace(old, new))

    return write


def ledger(here: Path) -> None:
    """The ledger of a run whose server was killed after it began."""
    (here / "out").mkdir()
    clients = [{"name": "north", "mailbox": "file:///mail"}]
    Ledger(here / "out" / "ledger.jsonl").write("run", settings={"run_id": "run-1", "clients": clients})


def changed_ledger(here: Path) -> None:
    ledger(here)
    path = here / "out" / "ledger.jsonl"
    path.write_text(path.read_text().replace("north", "south"))


def two_servers(here: Path) -> None:
    for name in ("a", "b"):
        (here / name).mkdir()
        Pair(here / name).end()


def roster(here: Path) -> None:
    clients = [{"name": name, "mailbox": f"file:///mail/{name}"} for name in ("north", "south", "west")]
    (here / "federation.json").write_text(json.dumps({"name": "cms", "clients": clients}))


def test_set(here: Path) -> None:
    roster(here)
    table(ROWS)(here)


test_set.__test__ = False  # type: ignore[attr-defined]


def checkpoint(content: bytes) -> Arrange:
    """A checkpoint that the ledger beside it names, whatever it is."""
    import hashlib

    def write(here: Path) -> None:
        test_set(here)
        (here / "out").mkdir()
        (here / "out" / "checkpoint.npz").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        Ledger(here / "out" / "ledger.jsonl").write("round", checkpoint_sha256=digest)

    return write


SPENT: Final = {
    "name": "spent",
    "task": "linear",
    "columns": [
        {"name": "age", "role": "feature", "type": "real"},
        {"name": "spent", "role": "label", "type": "real"},
    ],
}
AMOUNTS: Final = "age,spent\n" + "".join(f"{n},{n * n % 97}.5\n" for n in range(120))
RUN: Final = "run --federation federation.json --test-data data.csv --out out"

BOMB: Final = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghi")
)

WRONG: Final[dict[str, tuple[Arrange, str | list[str], ExitCode, str]]] = {
    # the command line itself
    "command": (nothing, "dmeo", CONFIG, "Did you mean 'demo'"),
    "option": (nothing, "demo --stategy fedavg", CONFIG, "--strategy"),
    "data command": (nothing, "data chek data.csv", CONFIG, "chek"),
    "argument": (nothing, "data check", CONFIG, "Missing argument"),
    "client option": (table(ROWS), "data upload data.csv", CONFIG, "--client"),
    # a rehearsal
    "out file": (text("out", ""), "demo --out out", CONFIG, "out is no folder"),
    "out in a file": (text("out", ""), "demo --out out/deep/er", CONFIG, "out is no folder"),
    "out folder for file": (folder("out/report.json"), "demo --out out", CONFIG, "report.json is a folder"),
    "out file for folder": (
        both(folder("out"), text("out/rehearsal", "")),
        "demo --out out",
        CONFIG,
        "rehearsal is a file",
    ),
    "epsilon 0": (nothing, "demo --privacy-epsilon 0", CONFIG, "greater than 0"),
    "epsilon below 0": (nothing, "demo --privacy-epsilon -1", CONFIG, "greater than 0"),
    "epsilon nan": (nothing, "demo --privacy-epsilon nan", CONFIG, "finite"),
    "epsilon text": (nothing, "demo --privacy-epsilon much", CONFIG, "'much' is not a valid float"),
    "out empty": (nothing, ["demo", "--out", ""], CONFIG, "The value of --out is empty"),
    "data unset": (nothing, ["demo", "--data", ""], CONFIG, "The value of --data is empty"),
    "out loop": (link("out", "out"), "demo --out out", CONFIG, "out is no folder"),
    "out link to nothing": (
        link("out/ledger.jsonl", "no/where"),
        "demo --out out",
        CONFIG,
        "link to nothing",
    ),
    "out too long": (nothing, f"demo --out {'x' * 300}", CONFIG, "File name too long"),
    "out below a device": (nothing, "demo --out /dev/null/x", CONFIG, "null is no folder"),
    "out device": (nothing, "demo --out /dev/full", CONFIG, "full is no folder"),
    "epsilon inf": (nothing, "demo --privacy-epsilon inf", CONFIG, "finite"),
    "rounds huge": (nothing, "demo --rounds 99999999999999999999", CONFIG, "10000"),
    "seed huge": (nothing, "demo --seed 4294967296", CONFIG, "--seed"),
    "run config without an app": (nothing, "demo --run-config a=1", CONFIG, "built-in app has no run config"),
    "image of a demo": (nothing, "demo --image sklern", CONFIG, "Did you mean 'sklearn'"),
    "data of a device": (nothing, "demo --data /dev/zero", DATA, "a device or a pipe"),
    "data of a loop": (link("data.csv", "data.csv"), "demo --data data.csv", DATA, "symbolic links"),
    "data with a NUL": (table(ROWS + "1,\0,2\n"), "demo --data data.csv", DATA, "line 62"),
    "app of another's model": (app(), "demo --app app --model mlp", CONFIG, "--model was given with --app"),
    "rounds 0": (nothing, "demo --rounds 0", CONFIG, "--rounds"),
    "rounds text": (nothing, "demo --rounds ten", CONFIG, "'ten' is not a valid int"),
    "clients 0": (nothing, "demo --clients 0", CONFIG, "--clients"),
    "clients text": (nothing, "demo --clients three", CONFIG, "'three' is not a valid int"),
    "clients two in sums": (nothing, "demo --clients 2 --updates sums", CONFIG, "a sum has 3 members"),
    "clients 300": (nothing, "demo --clients 300", CONFIG, "at most 200"),
    "strategy": (nothing, "demo --strategy fedvag", CONFIG, "Did you mean 'fedavg'"),
    "model": (nothing, "demo --model tree", CONFIG, "Did you mean 'trees'"),
    "threshold": (nothing, "demo --threshold-for recall", CONFIG, "threshold_for: nothing .* Say recall=0.8"),
    "threshold share": (nothing, "demo --threshold-for precision=50", CONFIG, "Say recall=0.8"),
    "threshold cost": (nothing, "demo --threshold-for cost=0:1", CONFIG, "Say recall=0.8"),
    "threshold model": (
        nothing,
        "demo --threshold-for recall=0.8 --model linear",
        CONFIG,
        "the model linear is not of two labels",
    ),
    "threshold task": (
        table(AMOUNTS, SPENT),
        "demo --local --data data.csv --threshold-for recall=0.8",
        CONFIG,
        "the task of the schema is linear|the model linear is not of two labels",
    ),
    "threshold of a run": (test_set, f"{RUN} --threshold-for f1=1", CONFIG, "threshold_for: nothing .* Say"),
    "threshold of a run's task": (
        both(roster, table(AMOUNTS, SPENT)),
        f"{RUN} --threshold-for cost=10:1",
        CONFIG,
        "the task of the schema is linear|the model linear is not of two labels",
    ),
    "split": (nothing, "demo --split fature", CONFIG, "Did you mean 'feature'"),
    "engine": (nothing, "demo --engine lnik", CONFIG, "Did you mean 'link'"),
    "updates": (nothing, "demo --updates sum", CONFIG, "Did you mean 'sums'"),
    "seed text": (nothing, "demo --seed x", CONFIG, "'x' is not a valid int"),
    "seed below 0": (nothing, "demo --seed -1", CONFIG, "--seed"),
    "keep without accounts": (nothing, "demo --keep --engine superlink", CONFIG, "no accounts"),
    "keep of processes": (nothing, "demo --keep --local", CONFIG, "no accounts"),
    "data missing": (nothing, "demo --data no.csv", DATA, "no.csv cannot be read"),
    "data folder": (folder("data"), "demo --data data", DATA, "is a folder"),
    "data picture": (text("data.csv", b"\x89PNG\r\n\x1a\n\x00"), "demo --data data.csv", DATA, "not UTF-8"),
    "data of Latin-1": (table(ROWS.encode() + b"1,\xe9,2\n"), "demo --data data.csv", DATA, "not UTF-8"),
    "data empty": (table(""), "demo --data data.csv", DATA, "no rows"),
    "data of other columns": (text("data.csv", ROWS), "demo --data data.csv", DATA, "header"),
    "data of one class": (
        table(ROWS.replace("\n1,", "\n0,")),
        "demo --data data.csv",
        DATA,
        "all 60 rows have label 0",
    ),
    "data of few rows": (table("label,a,b\n1,2,3\n0,1,2\n"), "demo --data data.csv", DATA, "row"),
    "schema no JSON": (
        both(text("data.csv", ROWS), text("schema.json", "{")),
        "demo --data data.csv",
        DATA,
        "not JSON",
    ),
    "schema of Latin-1": (
        both(text("data.csv", ROWS), text("schema.json", b'{"name": "\xe9"}')),
        "demo --data data.csv",
        DATA,
        "schema",
    ),
    "app missing": (nothing, "demo --app app", CONFIG, "no Flower app"),
    "app without project": (folder("app"), "demo --app app", CONFIG, "no Flower app"),
    "app of broken TOML": (
        both(folder("app"), text("app/pyproject.toml", "[project")),
        "demo --app app",
        CONFIG,
        "no Flower app",
    ),
    "app's module": (
        app(**{"clientapp = ": 'clientapp = "no_such:app" #'}),
        "demo --app app",
        CONFIG,
        "no_such",
    ),
    "app's run config": (app(), "demo --app app --run-config no.such=1", CONFIG, "no.such"),
    # a federation file
    "federation missing": (nothing, "validate", CONFIG, "No such file"),
    "federation folder": (folder("federation.yaml"), "validate", CONFIG, "directory"),
    "federation of Latin-1": (text("federation.yaml", b"name: \xe9"), "validate", CONFIG, "utf-8"),
    "federation no YAML": (text("federation.yaml", "name: [cms"), "validate", CONFIG, "readable YAML"),
    "federation empty": (text("federation.yaml", ""), "validate", CONFIG, "it is None"),
    "federation list": (text("federation.yaml", "- cms"), "validate", CONFIG, "Write keys and values"),
    "federation key": (federation("run:", "runs:"), "validate", CONFIG, "runs"),
    "federation account": (federation('"222222222222"', "22222"), "validate", CONFIG, "account"),
    "federation cidr": (federation("10.0.1.0/24", "10.0.0.0/24"), "validate", CONFIG, "overlaps"),
    "federation strategy": (federation("fednewton", "fednewtn"), "validate", CONFIG, "fednewton"),
    "federation app": (federation("tags:", "app: no-app\ntags:"), "validate", CONFIG, "no Flower app"),
    "federation key twice": (federation("run:", "name: abc\nrun:"), "validate", CONFIG, "there already"),
    "federation nested key twice": (
        federation("    account:", "    region: eu-west-2\n    account:"),
        "validate",
        CONFIG,
        "'region' in line .* is there already",
    ),
    "federation number as key": (text("federation.yaml", "1: 2\n"), "validate", CONFIG, "'1' .* is no text"),
    "federation no day": (text("federation.yaml", "name: 2024-99-99"), "validate", CONFIG, "month must be"),
    "federation of aliases": (text("federation.yaml", BOMB), "validate", CONFIG, "more than 100,000 values"),
    "federation of itself": (
        text("federation.yaml", "a: &a\n  b: *a\n"),
        "validate",
        CONFIG,
        "an alias of itself",
    ),
    "federation too deep": (text("federation.yaml", "[" * 3000), "validate", CONFIG, "readable YAML"),
    "federation of two": (text("federation.yaml", "a: 1\n---\nb: 2\n"), "cost", CONFIG, "single document"),
    "federation of UTF-16": (text("federation.yaml", "name: cms".encode("utf-16")), "cost", CONFIG, "utf-8"),
    "cost of nothing": (nothing, "cost no.yaml", CONFIG, "No such file"),
    # what is shipped, reviewed, handed off
    "bundle app": (folder("app"), "bundle --app app", CONFIG, "no Flower app"),
    "bundle image": (nothing, "bundle --image pytorhc", CONFIG, "Did you mean 'pytorch'"),
    "review deep": (text("t.json", '{"a":' * 100_000), "review t.json", CONFIG, "no template"),
    "review list": (text("t.json", "[]"), "review t.json", CONFIG, "no template"),
    "review resource of text": (
        text("t.json", '{"Resources": {"A": "x"}}'),
        "review t.json",
        CONFIG,
        "no client's stack",
    ),
    "bundle out": (text("dist", ""), "bundle --out dist", CONFIG, "dist is no folder"),
    "review missing": (nothing, "review no.json", CONFIG, "No such file"),
    "review folder": (folder("t.json"), "review t.json", CONFIG, "directory"),
    "hand-off client": (federation("cms", "cms"), "handoff nord", CONFIG, "'nord' is no client"),
    "hand-off deployer": (federation("cms", "cms"), "handoff north", CONFIG, "deployed_by"),
    "preflight side": (nothing, "preflight --side sever", CONFIG, "Did you mean 'server'"),
    "preflight client": (federation("cms", "cms"), "preflight --side client nord", CONFIG, "Name one of"),
    # data
    "check missing": (nothing, "data check no.csv", DATA, "does not exist"),
    "check folder": (folder("data"), "data check data", DATA, "is a folder"),
    "check device": (nothing, "data check /dev/null", DATA, "a device or a pipe"),
    "schema deep": (table(ROWS, Raw("[" * 200_000)), "data check data.csv", DATA, "declares no schema"),
    "schema field twice": (
        table(ROWS, Raw('{"name": "a", "name": "tiny"}')),
        "data check data.csv",
        DATA,
        "'name' is said more than once",
    ),
    "schema loop": (
        both(text("data.csv", ROWS), link("schema.json", "schema.json")),
        "data check data.csv",
        DATA,
        "symbolic links",
    ),
    "describe numbers": (text("data.csv", "1,2\n3,4\n"), "data describe data.csv", DATA, "header"),
    "describe twice": (table(ROWS), "data describe data.csv --write", CONFIG, "there already"),
    "upload missing": (federation("cms", "cms"), "data upload no.csv --client north", DATA, "does not exist"),
    "upload client": (
        both(federation("cms", "cms"), table(ROWS)),
        "data upload data.csv --client nord",
        CONFIG,
        "'nord' is no client",
    ),
    "upload bad rows": (
        both(federation("cms", "cms"), table(ROWS + "1,x,2\n")),
        "data upload data.csv --client north",
        DATA,
        "a: 1 cells",
    ),
    # a run, and what it leaves
    "run without roster": (nothing, "run", CONFIG, "no roster"),
    "run of a broken roster": (text("federation.json", "{"), "run", CONFIG, "cannot be read"),
    "run of a roster folder": (folder("federation.json"), "run", CONFIG, "federation.json"),
    "run of a Latin-1 roster": (text("federation.json", b"\xe9"), "run", CONFIG, "cannot be read"),
    "run setting": (test_set, f"{RUN} --strategy fedvag", CONFIG, "Did you mean 'fedavg'"),
    "run port": (test_set, f"{RUN} --address server:99999", CONFIG, "from 0 to 65535"),
    "run port of another script": (test_set, f"{RUN} --address server:٩٠٩٢", CONFIG, "address"),
    "run seconds nan": (test_set, f"{RUN} --round-seconds nan", CONFIG, "finite"),
    "run tracked nowhere": (test_set, f"{RUN} --mlflow nowhere", CONFIG, "'nowhere' is no place of MLflow"),
    "run of a deep roster": (text("federation.json", "[" * 200_000), "run", CONFIG, "nested more deeply"),
    "run of a roster of numbers": (
        text("federation.json", '{"name": "c", "clients": 3}'),
        "run",
        CONFIG,
        "clients",
    ),
    "run option nan": (
        test_set,
        f"{RUN} --strategy fedadam --strategy-option eta=nan",
        CONFIG,
        "eta: Input should be a finite number",
    ),
    "status deep ledger": (
        text_in("out/ledger.jsonl", '{"a":' * 100_000 + "\n"),
        "status",
        CONFIG,
        "no event",
    ),
    "status lock folder": (both(ledger, folder("out/run.lock")), "status", CONFIG, "run.lock"),
    "report deep": (text_in("out/report.json", '{"a":' * 100_000), "report", CONFIG, "cannot be read|nested"),
    "report of numbers": (
        text_in("out/report.json", '{"run_id":1,"name":2,"clients":3,"seconds":4,"privacy":5,"verdict":6}'),
        "report",
        CONFIG,
        "not a report of this version",
    ),
    "report loop": (link("out/report.json", "report.json"), "report", CONFIG, "report.json"),
    "verify loop": (link("l", "l"), "verify l", CONFIG, "symbolic links"),
    "verify long number": (text("l", f'{{"event": {"9" * 5000}}}\n'), "verify l", CONFIG, "no ledger"),
    "register nothing": (nothing, "model register out", CONFIG, "no ledger"),
    "register deep ledger": (
        text_in("out/ledger.jsonl", '{"a":' * 100_000),
        "model register out",
        CONFIG,
        "ledger",
    ),
    "run out": (both(test_set, text("out", "")), RUN, CONFIG, "out is no folder"),
    "run test set": (roster, RUN, DATA, "data.csv cannot be read"),
    "run resume": (test_set, f"{RUN} --resume", CONFIG, "no checkpoint"),
    "run broken checkpoint": (checkpoint(b"PK\x03\x04 no"), f"{RUN} --resume", CONFIG, "cannot be read"),
    "run over a checkpoint": (checkpoint(b"any"), RUN, CONFIG, "--resume"),
    "run broken report": (
        both(checkpoint(b"any"), text("out/report.json", "{")),
        RUN,
        CONFIG,
        "report.json cannot be read",
    ),
    "run changed ledger": (both(test_set, changed_ledger), RUN, CONFIG, "ledger was changed"),
    "status of nothing": (nothing, "status", CONFIG, "does not exist"),
    "status of a file": (text("out", ""), "status --out out", CONFIG, "no folder"),
    "status of no run": (folder("out"), "status --out out", CONFIG, "no run"),
    "status changed ledger": (changed_ledger, "status", CONFIG, "ledger was changed"),
    "stop of nothing": (folder("out"), "stop", CONFIG, "no run"),
    "report of nothing": (folder("out"), "report", CONFIG, "There is no out/report.json"),
    "report no JSON": (both(folder("out"), text("out/report.json", "{")), "report", CONFIG, "cannot be read"),
    "report list": (both(folder("out"), text("out/report.json", "[]")), "report", CONFIG, "no report"),
    "report Latin-1": (both(folder("out"), text("out/report.json", b"\xe9")), "report", CONFIG, "cannot be"),
    "report of another version": (
        both(folder("out"), text("out/report.json", '{"verdict": "COMPLETE"}')),
        "report",
        CONFIG,
        "not a report of this version",
    ),
    "verify missing": (nothing, "verify no.jsonl", CONFIG, "cannot be read"),
    "verify folder": (folder("l"), "verify l", CONFIG, "cannot be read"),
    "verify text": (text("l", "hello\n"), "verify l", CONFIG, "no ledger"),
    "verify bytes": (text("l", b"\xe9"), "verify l", CONFIG, "no text"),
    "verify one side twice": (
        two_servers,
        "verify a/server.jsonl b/server.jsonl",
        CONFIG,
        "Both .* are a server's",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_with_a_remedy_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    arrange, words, code, what = WRONG[case]
    arrange(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    said = call(*(words.split(" ") if isinstance(words, str) else words))
    assert re.search(what, said.err), said
    assert (said.code, said.out) == (code, ""), said
    lines = said.err.strip().splitlines()
    assert lines[0].startswith(f"fedstack-error {int(code)} {code.name}: "), said
    assert len(lines) == 1 or all(line.startswith("  - ") for line in lines[1:]), said
    assert lines[-1].rstrip().endswith((".", "?")), said
    assert len(re.findall(r"[.?!:] ", lines[0])) >= 2 or len(lines) > 1, f"no remedy: {said.err}"
    assert "Traceback" not in said.err
    assert tree(tmp_path) == before


def test_the_table_has_columns_of_the_cms_schema_only_where_it_says_so() -> None:
    assert CMS.columns[:1] != tuple(TINY["features"])
    assert len(WRONG) >= 40
    assert len({str(words) for _, words, _, _ in WRONG.values()}) > 60


def test_a_federation_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "federation.yaml").write_bytes(b"\xef\xbb\xbf" + (ROOT / "federation.yaml").read_bytes())
    assert call("validate", tmp_path / "federation.yaml").code == 0


def test_names_of_any_script_with_spaces_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "données de l'hôpital 北"
    place.mkdir()
    table(ROWS)(place)
    monkeypatch.chdir(place)
    (place / "data.csv").rename(place / "été 2024 'a' \"b\".csv")
    said = call("data", "check", "été 2024 'a' \"b\".csv")
    assert (said.code, "nothing is wrong" in said.out) == (0, True), said
