"""A policy's statement in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cdk_app.review.reading.statements import ANYBODY, Condition, Statement

OPERATORS: Final = {
    "StringEquals": "is",
    "ArnEquals": "is like",
    "ArnLike": "is like",
    "StringLike": "is like",
    "Bool": "is",
    "NumericEquals": "is",
    "NumericLessThanEquals": "is at most",
}
ACTIONS: Final = {
    "iam:PassRole": "pass on",
    "kms:Decrypt": "decrypt with",
    "kms:Sign": "sign with",
    "s3:DeleteObject": "delete",
    "s3:GetObject": "read",
    "s3:ListBucket": "list",
    "s3:PutObject": "write",
    "sagemaker:CreateTrainingJob": "start",
    "sagemaker:DescribeTrainingJob": "watch",
    "sagemaker:StopTrainingJob": "stop",
    "ssm:GetParameter": "read",
    "states:DescribeExecution": "watch",
    "states:StartExecution": "start",
    "states:StopExecution": "stop",
}
_ACCOUNT: Final = "aws:principalaccount"


class Words:
    """Statements in words, as one account's owner reads them."""

    def __init__(self, account: str, server: str) -> None:
        self._account, self._server = account, server

    def is_outside(self, principal: str, statement: Statement) -> bool:
        """Whether a principal is neither of this account nor a service of AWS."""
        if principal.startswith("service ") or principal == f"account {self._account}":
            return False
        if principal == ANYBODY and self._accounts(statement) == (self._account,):
            return False
        return f":iam::{self._account}:" not in principal

    def who(self, principal: str) -> str:
        """Return a principal by what it is to this account."""
        if principal == f"account {self._account}":
            return "this account"
        if principal == f"account {self._server}":
            return "the server's account"
        return f"AWS's {principal}" if principal.startswith("service ") else principal

    def whoever(self, statement: Statement) -> str:
        """Return all whom a statement is for."""
        accounts = self._accounts(statement)
        if accounts and statement.principals == (ANYBODY,):
            return " and ".join(f"whoever is of account {account}" for account in accounts)
        return " and ".join(map(self.who, statement.principals))

    def grants(self, who: str, statement: Statement) -> Iterator[str]:
        """Yield a sentence for each resource of a statement."""
        verb = "may" if statement.allows else "may never"
        for resource in statement.resources:
            what = "everything" if resource == "*" else resource
            yield capital(f"{who} {verb} {verbs(statement)}: {what}{self.when(statement)}.")

    def when(self, statement: Statement) -> str:
        """Return a statement's conditions as the end of a sentence."""
        held = [said(c) for c in statement.conditions if c.key.lower() != _ACCOUNT]
        return f", if {' and '.join(held)}" if held else ""

    def _accounts(self, statement: Statement) -> tuple[str, ...]:
        """Return the accounts that a statement's conditions hold its principals to."""
        equal = (c for c in statement.conditions if c.operator == "StringEquals")
        return next((c.values for c in equal if c.key.lower() == _ACCOUNT), ())


def verbs(statement: Statement) -> str:
    """Return what a statement is about."""
    return ", ".join(f"{ACTIONS[a]} ({a})" if a in ACTIONS else a for a in sorted(statement.actions))


def said(condition: Condition) -> str:
    """Return a condition in words."""
    if condition.operator == "Null":
        return f"{condition.key} is {'given' if condition.values == ('false',) else 'not given'}"
    operator = OPERATORS.get(condition.operator, condition.operator)
    return f"{condition.key} {operator} {' or '.join(condition.values)}"


def capital(text: str) -> str:
    """Return a sentence with its first letter in capital."""
    return text[:1].upper() + text[1:]
