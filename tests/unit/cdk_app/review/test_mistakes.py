"""Seeded mistakes, one per kind: each fails the review, with a sentence that names it."""

from __future__ import annotations

import pytest
from assembly import NORTH, SOUTH, Template
from template_changes import broken, statement
from template_mistakes import ACCEPTANCE, MORE

from cdk_app.review.review import Review, review


def told(result: Review) -> str:
    """Every objection, with its example."""
    return "\n".join(f"{p.where}: {p.what} {p.counterexample or ''}" for p in result.problems)


@pytest.fixture(scope="module")
def north(templates: dict[str, Template]) -> Template:
    return templates[NORTH]


@pytest.mark.parametrize("mistake", [*ACCEPTANCE, *MORE])
def test_a_mistake_fails_the_review_by_its_name(north: Template, mistake: str) -> None:
    change, sentence = {**ACCEPTANCE, **MORE}[mistake]
    result = review(broken(north, change))
    assert not result.passed
    assert sentence in told(result), told(result)
    assert sentence.split(" may call")[0] in result.text


def test_the_endpoint_that_the_server_calls_passes_its_broker_only(templates: dict[str, Template]) -> None:
    def change(template: Template) -> None:
        statement(template, "KickoffEndpointEndpointsstates", "Brokers")["Resource"] = "*"

    assert "may call states:StopExecution" in told(review(broken(templates[SOUTH], change)))
