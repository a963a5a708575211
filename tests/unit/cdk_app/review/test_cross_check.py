"""The review against another evaluator of IAM: the one that the rehearsal's accounts decide with.

A third one, iam-simulate, is asked by hand: tests/iam_simulate/ask.py.
"""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from assembly import NORTH, SOUTH, Assembly, Template
from policy_questions import Asked, named
from template_changes import broken
from template_mistakes import ACCEPTANCE, MORE

from cdk_app.review.reading.statements import Entry, excess
from cdk_app.review.review import review
from rehearsal.aws.policy import Decision, Request, evaluate, evaluate_resource

# Mistakes after which a role may do more: each has a call as its example.
WIDER = [
    name
    for name, (_, sentence) in {**ACCEPTANCE, **MORE}.items()
    if "may call" in sentence and not sentence.startswith(("account", "anybody", "service", "Federated"))
]
WIDER.remove("a session may be tagged")  # which is a trust policy's


@pytest.mark.parametrize("stack", [NORTH, SOUTH])
def test_whatever_another_evaluator_allows_is_within_the_boundary(assembly: Assembly, stack: str) -> None:
    asked = Asked(assembly.text(stack).encode())
    allowed = number = 0
    for subject in asked.subjects():
        for question in asked.questions(subject):
            number += 1
            request = Request(question.action, question.resource, question.context)
            if evaluate(subject.policies, request) is Decision.ALLOW:
                allowed += 1
                assert question.within, question
    assert number > 2000
    assert allowed > 50


@pytest.mark.parametrize("mistake", WIDER)
def test_another_evaluator_agrees_with_every_example(templates: dict[str, Template], mistake: str) -> None:
    """What a review says that a role may call after a mistake, it may call, and might not before."""
    change, _ = {**ACCEPTANCE, **MORE}[mistake]
    content = broken(templates[NORTH], change)
    examples = [p.counterexample for p in review(content).problems if p.counterexample is not None]
    assert examples
    before, after = Asked(broken(templates[NORTH], lambda _: None)), Asked(content)
    for example in examples:
        principal, resource = named(example.principal), named(example.resource)
        [old], [new] = ([s for s in one.subjects() if s.arn == principal] for one in (before, after))
        contexts = {tuple(q.context.items()): q.context for q in before.questions(new)}
        requests = [Request(example.action, resource, context) for context in contexts.values()]
        wider = [
            request
            for request in requests
            if evaluate(new.policies, request) is Decision.ALLOW
            and evaluate(old.policies, request) is not Decision.ALLOW
        ]
        assert wider, example


def test_another_evaluator_lets_in_whom_the_review_says(assembly: Assembly) -> None:
    asked = Asked(assembly.text(NORTH).encode())
    [kickoff] = [subject for subject in asked.subjects() if subject.part == "kickoff role"]
    server = {"aws:PrincipalArn": "arn:aws:iam::111111111111:role/FL-server-notebook-cms"}
    root = ("arn:aws:iam::111111111111:root",)

    def enters(who: tuple[str, ...], **context: str) -> bool:
        request = Request("sts:AssumeRole", kickoff.arn, {**server, **context})
        return evaluate_resource(json.dumps(kickoff.trust), request, who) is Decision.ALLOW

    assert enters(root, **{"sts:ExternalId": "cms/north"})
    assert not enters(root)
    assert not enters(root, **{"sts:ExternalId": "cms/south"})
    assert not enters(("arn:aws:iam::999999999999:root",), **{"sts:ExternalId": "cms/north"})


def test_the_boundary_allows_nothing_that_no_client_needs(
    assembly: Assembly, other: Assembly, varied: Assembly
) -> None:
    """Without any one action or resource of an entry, some client's template would be beyond it."""
    texts = [
        one.text(stack).encode()
        for one in (assembly, other, varied)
        for stack in one.templates
        if "-client-" in stack and (one is not other or stack != NORTH)
    ]
    idle: dict[tuple[str, str], bool] = {}
    for boundary in (Asked(text).boundary for text in texts):
        for part, entries in boundary.allowed.items():
            for number, entry in enumerate(entries):
                for what, less in smaller(entry):
                    rest = [*entries[:number], less, *entries[number + 1 :]]
                    needed = any(next(excess(s, rest), None) for s in boundary.statements[part] if s.allows)
                    key = (part, what)
                    idle[key] = idle.get(key, True) and not needed
    assert sorted(key for key, unused in idle.items() if unused) == []


def smaller(entry: Entry) -> list[tuple[str, Entry]]:
    """An entry less each of its actions, and less each of its resources where it has several."""
    fewer = [
        (action, dataclasses.replace(entry, actions=tuple(a for a in entry.actions if a != action)))
        for action in entry.actions
    ]
    if len(entry.resources) > 1:
        fewer += [
            (
                f"{entry.actions[0]} on {generic(resource)}",
                dataclasses.replace(entry, resources=tuple(r for r in entry.resources if r != resource)),
            )
            for resource in entry.resources
        ]
    return fewer


def generic(resource: str) -> str:
    """A resource without what differs from client to client."""
    return re.sub(r"\d{12}|(north|south|west|east)|(us-gov|eu)-\w+-\d|aws-us-gov|[0-9a-f]{64}", "", resource)
