"""The window that a client's owner lets runs start in: kept by its broker, and by the server's schedule."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from assembly import WEST, Assembly, example
from broker_account import GOOD, JOB, Account, broker_states, quick
from jsonata.jsonata import Jsonata
from template_changes import Change, broken, redefine

from cdk_app.config.load import ConfigError, parse
from cdk_app.config.models import RunWindow
from cdk_app.constructs.broker.window import Window, inside
from cdk_app.review.review import review

NIGHT = {"days": ["mon", "tue"], "opens": "22:00", "closes": "04:00"}
NOON = {"days": ["wed"], "opens": "12:00", "closes": "13:30"}


def window(said: dict[str, Any]) -> Window:
    told = RunWindow.model_validate(said)
    return Window(told.weekdays, told.first_minute, told.minutes)


def is_inside(said: dict[str, Any], time: str) -> bool:
    rule = inside(window(said)).replace("$states.context.State.EnteredTime", f"'{time}'")
    found = Jsonata(rule).evaluate(None)
    assert isinstance(found, bool)
    return found


@pytest.mark.parametrize(
    ("said", "time", "expected"),
    [
        (NIGHT, "2026-11-30T22:00:00Z", True),  # a Monday
        (NIGHT, "2026-11-30T21:59:59.999Z", False),
        (NIGHT, "2026-12-01T03:59:59Z", True),  # Tuesday morning is Monday's window
        (NIGHT, "2026-12-01T04:00:00Z", False),
        (NIGHT, "2026-12-02T03:59:00Z", True),  # Wednesday morning is Tuesday's
        (NIGHT, "2026-12-02T22:30:00Z", False),
        (NIGHT, "2026-11-30T01:00:00Z", False),  # Monday morning would be Sunday's
        (NOON, "2026-12-02T12:00:00Z", True),
        (NOON, "2026-12-02T13:29:00.5Z", True),
        (NOON, "2026-12-02T13:30:00Z", False),
        (NOON, "2026-12-03T12:30:00Z", False),
        ({"opens": "00:00", "closes": "00:00"}, "2026-12-03T12:30:00Z", True),
        ({"days": ["sun"], "opens": "00:00", "closes": "00:00"}, "2026-12-06T23:59:00Z", True),
        ({"days": ["sun"], "opens": "00:00", "closes": "00:00"}, "2026-12-07T00:00:00Z", False),
        ({"days": ["sat"], "opens": "23:00", "closes": "22:59"}, "2026-12-06T22:58:00Z", True),
        ({"opens": "09:00", "closes": "09:01"}, "2024-02-29T09:00:30Z", True),
    ],
)
def test_a_moment_is_inside_or_not(said: dict[str, Any], time: str, *, expected: bool) -> None:
    assert is_inside(said, time) is expected


def test_every_hour_of_a_week_is_as_python_s_calendar_says() -> None:
    said = {"days": ["fri", "sun"], "opens": "23:30", "closes": "01:30"}
    start = dt.datetime(2026, 12, 4, tzinfo=dt.UTC)  # a Friday
    moments = [start + dt.timedelta(minutes=30 * n) for n in range(7 * 48)]
    found = [moment for moment in moments if is_inside(said, moment.isoformat().replace("+00:00", "Z"))]
    opened = [start + dt.timedelta(days=days, hours=23, minutes=30) for days in (0, 2)]
    assert found == [moment + dt.timedelta(minutes=30 * n) for moment in opened for n in range(4)]


def around_now(minutes: int) -> Window:
    """A window of an hour that opens so many minutes from now."""
    opens = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
    return Window(((opens.isoweekday()) % 7,), 60 * opens.hour + opens.minute, 60)


def test_the_broker_starts_a_job_inside_the_window(account: Account) -> None:
    account.machine = account.deploy("windowed", quick(broker_states(window=around_now(-30))))
    assert account.start(GOOD)["status"] == "SUCCEEDED"
    assert account.jobs == [JOB]


@pytest.mark.parametrize("minutes", [90, -120, 60 * 24 * 3])
def test_the_broker_refuses_an_invitation_outside_the_window_by_name(account: Account, minutes: int) -> None:
    account.machine = account.deploy("windowed", quick(broker_states(window=around_now(minutes))))
    ended = account.start(GOOD)
    assert (ended["status"], ended["error"]) == ("FAILED", "OutsideWindow")
    assert account.jobs == []
    assert ended["cause"] == "This account lets runs start within its own run_window only."


def test_a_bad_invitation_learns_nothing_of_the_window_and_consent_comes_first(account: Account) -> None:
    account.machine = account.deploy("windowed", quick(broker_states(window=around_now(90))))
    account.participate("off")
    assert account.start(GOOD)["error"] == "ParticipationOff"


def test_a_broker_without_a_window_is_as_it_was() -> None:
    states = broker_states()["States"]
    assert states["Participates"]["Choices"][0]["Next"] == "InvitationWellFormed"
    assert not {"InsideWindow", "OutsideWindow"} & states.keys()


def test_the_review_tells_the_window_and_passes(other: Assembly) -> None:
    result = review(other.text(WEST).encode())
    assert result.passed, result.problems
    told = [line for line in result.sections["What is pinned in a job"] if line.startswith("Runs start")]
    assert told == [
        "Runs start within mon, tue 22:00 to 04:00 UTC only; "
        "one that has started goes on as long as its job may."
    ]


def changed(old: str, new: str) -> Change:
    def rule(definition: dict[str, Any]) -> None:
        (choice,) = definition["States"]["InsideWindow"]["Choices"]
        assert old in choice["Condition"]
        choice["Condition"] = choice["Condition"].replace(old, new)

    return lambda template: redefine(template, "BrokerStartStateMachine", rule)


@pytest.mark.parametrize(
    "change",
    [
        changed(" and $since", " or $since"),
        changed("'12'", "'123456789'"),
        changed("'12'", "''"),
        changed("< 360", "< 36000"),
        changed("- 1320", "- 1320000"),
        changed("{% ", "{% true or "),
        lambda t: redefine(
            t, "BrokerStartStateMachine", lambda d: d["States"]["InsideWindow"].update(Default="AdmitBundle")
        ),
        lambda t: redefine(
            t,
            "BrokerStartStateMachine",
            lambda d: d["States"]["Participates"]["Choices"][0].update(Next="InvitationWellFormed"),
        ),
    ],
)
def test_a_window_that_is_none_fails_the_review(other: Assembly, change: Change) -> None:
    assert not review(broken(other.templates[WEST], change)).passed


def problems(**changes: Any) -> str:
    data = example()
    for place, said in changes.items():
        clients = {client["name"]: client for client in data["clients"]}
        (data["server"] if place == "server" else clients[place]).update(said)
    with pytest.raises(ConfigError) as error:
        parse(data)
    return str(error.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"opens": "22:00"}, "run_window.closes is missing"),
        ({"opens": "24:00", "closes": "02:00"}, "no time of day"),
        ({"opens": 1320, "closes": "02:00"}, "Put the value in quotes"),
        ({"opens": "9:00", "closes": "10:00"}, "no time of day"),
        ({"opens": "09:00", "closes": "10:00", "days": []}, "days"),
        ({"opens": "09:00", "closes": "10:00", "days": ["monday"]}, "days"),
        ({"opens": "09:00", "closes": "10:00", "days": ["mon", "mon"]}, "a day that is named twice"),
        ({"opens": "09:00", "closes": "10:00", "timezone": "CET"}, "timezone"),
    ],
)
def test_a_window_that_cannot_be_is_refused_by_its_client(said: dict[str, Any], words: str) -> None:
    told = problems(north={"run_window": said})
    assert "client 'north'" in told
    assert words in told


def test_a_schedule_must_lie_inside_every_client_s_window_and_every_breach_is_told() -> None:
    told = problems(
        server={"schedule": {"days": ["mon", "wed"], "at": "12:30"}},
        north={"run_window": NIGHT},
        south={"run_window": NOON},
        west={"run_window": {"days": ["mon", "wed"], "opens": "12:00", "closes": "12:59"}},
    )
    assert "has 5 problems" in told
    assert told.count("run_window of client 'north'") == 2
    assert (
        "schedule is mon 12:30, which is not 30 minutes or more inside the run_window of client 'south'"
        in told
    )
    assert told.count("run_window of client 'west'") == 2


def test_a_schedule_past_midnight_is_in_the_window_of_the_day_before() -> None:
    data = example()
    data["clients"][0]["run_window"] = NIGHT
    data["server"]["schedule"] = {"days": ["tue", "wed"], "at": "03:30"}
    assert parse(data).server.schedule is not None
    data["server"]["schedule"] = {"days": ["mon"], "at": "03:30"}
    with pytest.raises(ConfigError, match="schedule is mon 03:30"):
        parse(data)


def test_a_window_needs_a_broker() -> None:
    told = problems(north={"run_window": NIGHT, "kickoff": "direct"})
    assert "there is no broker that keeps to it" in told
