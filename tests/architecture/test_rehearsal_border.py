"""What goes to the accounts knows nothing of a rehearsal, and nothing imports it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SHIPPED = [
    PROJECT / "app.py",
    *(p for d in ("runtime", "cdk_app", "stacks") for p in (PROJECT / d).rglob("*.py")),
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(PROJECT)))
def test_what_is_shipped_does_not_ask_whether_it_is_rehearsed(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\b(if|unless)\b.*\b(rehears|emulat|moto)", text, re.IGNORECASE)
    assert not re.search(r"^\s*(from|import) (rehearsal|moto)\b", text, re.MULTILINE)
    assert "AWS_ENDPOINT_URL" not in text
