"""A Flower app is read from its folder; what is wrong with it is said at once, and nothing of it is run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from app_federation import write_app
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cdk_app.config.privacy import node_options
from cdk_app.config.types import NodeConfig
from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import FlowerApp, kind_of
from runtime.link import flower
from runtime.messages import Releases

EMPTY = "app = lambda *_: None\n"
EXAMPLES = sorted(path.parent for path in (Path(__file__).parents[2] / "examples").glob("*/pyproject.toml"))


def app_of(folder: Path, **more: str) -> FlowerApp:
    return FlowerApp.read(write_app(folder / "app", EMPTY, EMPTY, **more))


def test_an_app_is_what_its_pyproject_says(tmp_path: Path) -> None:
    app = app_of(
        tmp_path,
        config='rounds = 3\n[tool.flwr.app.config.model]\nwidth = 16\nname = "net"',
        more='[tool.fedstack]\nlargest-reply-mb = 24.5\n[tool.fedstack.messages]\ntrain = "sums"\n'
        '"query.size" = "nothing"\n"evaluate.default" = "noise"',
    )
    assert app.config == {"rounds": 3, "model.width": 16, "model.name": "net"}
    assert (app.version, app.publisher, app.largest_reply) == ("1.0.0", "tests", 24_500_000)
    assert app.released_by("train") is app.released_by("train.default") is Releases.SUMS
    assert app.released_by("evaluate") is Releases.NOISE
    assert app.released_by("query.size") is Releases.NOTHING
    assert app.released_by("query.other") is Releases.PLAIN


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_every_example_declares_what_it_releases(folder: Path) -> None:
    app = FlowerApp.read(folder)
    assert set(app.releases.values()) == {Releases.SUMS}
    assert app.publisher == "fedstack"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[tool.fedstack]\nlargest = 3", "[tool.fedstack] has largest"),
        ("[tool.fedstack]\nlargest-reply-mb = 0", "largest-reply-mb is 0"),
        ('[tool.fedstack]\nlargest-reply-mb = "much"', "largest-reply-mb is 'much'"),
        ("[tool.fedstack]\nmessages = 3", "[tool.fedstack.messages] is no table"),
        ('[tool.fedstack.messages]\ntrain = "sum"', "the answer to 'train' releases 'sum'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(FedstackError, match="is no Flower app that can be run") as caught:
        app_of(tmp_path, more=more)
    assert said in caught.value.what
    assert caught.value.code is ExitCode.CONFIG


def test_a_folder_without_an_app_is_said_to_be_none(tmp_path: Path) -> None:
    for text in (None, "not toml [", "[project]\nname = 'x'\n"):
        if text is not None:
            (tmp_path / "pyproject.toml").write_text(text)
        with pytest.raises(FedstackError, match="is no Flower app that can be run") as caught:
            FlowerApp.read(tmp_path)
        assert "\n" not in caught.value.what


def test_a_run_config_may_only_replace_what_is_there(tmp_path: Path) -> None:
    app = app_of(tmp_path, config='rounds = 3\nrate = 0.5\nname = "net"\nfast = true')
    assert app.run_config({"rounds": 5, "rate": 1}) == {"rounds": 5, "rate": 1, "name": "net", "fast": True}
    with pytest.raises(FedstackError) as caught:
        app.run_config({"round": 5, "rate": "x", "fast": 1, "rounds": True})
    faults = ("'round', which the app does not know (did you mean 'rounds'?)", "'rate' is 'x'", "'fast' is 1")
    for said in (*faults, "'rounds' is True"):
        assert said in caught.value.what


@given(
    st.dictionaries(
        st.text(min_size=1), st.one_of(st.integers(), st.text(), st.none(), st.floats()), min_size=1
    )
)
def test_no_override_gets_in_that_the_app_does_not_know(overrides: dict[str, object]) -> None:
    app = FlowerApp(Path("/"), "a", "1", "p", "s:a", "c:a", {}, {}, None)
    with pytest.raises(FedstackError, match="which the app does not know"):
        app.run_config(overrides)


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    app = FlowerApp.read(write_app(tmp_path / "app", "import no_such_thing\n", EMPTY))
    with pytest.raises(
        FedstackError, match=r"there is no module 'no_such_thing' here at .*server_app\.py, line 1"
    ):
        app.load_server_app()


def test_another_error_of_an_import_tells_its_place_and_not_its_words(tmp_path: Path) -> None:
    app = FlowerApp.read(write_app(tmp_path / "app", EMPTY, "x = 1\nraise ValueError('of Jane Doe')\n"))
    with pytest.raises(FedstackError, match=r"ValueError at .*client_app\.py, line 2") as caught:
        app.load_client_app()
    assert "Jane" not in str(caught.value)


def test_a_component_must_be_an_app(tmp_path: Path) -> None:
    app = FlowerApp.read(write_app(tmp_path / "app", "app = 3\n", "other = 3\n"))
    with pytest.raises(FedstackError, match="is a int"):
        app.load_server_app()
    with pytest.raises(FedstackError, match="cannot be imported: AttributeError"):
        app.load_client_app()


def test_loading_an_app_leaves_its_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = write_app(tmp_path / "app", EMPTY, "app = 3\n")
    before = sorted(folder.rglob("*"))
    with pytest.raises(FedstackError, match="is a int"):
        FlowerApp.read(folder).load_client_app()
    assert sorted(folder.rglob("*")) == before
    assert not sys.dont_write_bytecode


def test_the_digest_is_of_every_file_that_is_the_apps(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", EMPTY, EMPTY)
    first = FlowerApp.read(folder).digest()
    for name in ("__pycache__/x.pyc", ".git/config", "out/model.npz", "old.pyc"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("other")
    assert FlowerApp.read(folder).digest() == first
    (folder / "table.csv").write_text("1")
    assert FlowerApp.read(folder).digest() != first


def test_a_kind_has_one_name() -> None:
    assert kind_of("train.default") == kind_of("train") == "train"
    assert kind_of("query.default.x") == "query.default.x"


PLAIN_TEXT = st.text(
    st.characters(
        codec="utf-8", exclude_characters="\"'\\", exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn"]
    )
)
KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,10}", fullmatch=True)


@given(st.dictionaries(KEYS, st.one_of(st.integers(-(2**53), 2**53), st.booleans(), PLAIN_TEXT), min_size=1))
def test_what_an_owner_writes_reaches_the_app_as_it_is(config: dict[str, bool | int | str]) -> None:
    """From federation.yaml by way of an option of the job."""
    (option,) = node_options(TypeAdapter(NodeConfig).validate_python(config)).values()
    assert flower.read_pairs([option]) == config


@pytest.mark.parametrize("config", [{"a b": 1}, {"a": 'x"y'}, {"a": "line\nline"}, {"": 1}])
def test_what_no_option_of_a_job_can_say_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"no key of a node config|cannot be an option of a job"):
        TypeAdapter(NodeConfig).validate_python(config)
