"""How findings are shown: a line each as it is found, or JSON for a machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from runtime.errors import printable
from runtime.server.preflight.findings import Finding, Status, exit_code

_COLOURS: Final = {Status.OK: "green", Status.FAIL: "bold red", Status.NOT_CHECKED: "yellow"}
_INDENT: Final = " " * 15
LONGEST: Final = 2000
"""A cause may quote what an account says; what is longer than this is cut short."""


def lines(finding: Finding) -> Iterator[Text]:
    """Yield what a terminal shows of a finding."""
    status = Text(f"{finding.status:<11}  ", style=_COLOURS[finding.status])
    if finding.status is Status.FAIL:
        yield status + Text(f"{finding.check}: {finding.owner}")
        yield Text(f"{_INDENT}{printable(finding.text, LONGEST)}")
        yield Text(f"{_INDENT}-> {printable(finding.fix, LONGEST)}")
    else:
        yield status + Text(f"{finding.check}: {printable(finding.text, LONGEST)}", style="")


def shown(findings: Iterator[Finding], console: Console) -> list[Finding]:
    """Show each finding as it comes, and return all of them."""
    kept = []
    for finding in findings:
        kept.append(finding)
        for line in lines(finding):
            console.print(line, soft_wrap=True)
    return kept


def summary(findings: Sequence[Finding], seconds: float) -> str:
    """Return the last line: how many checks ended how, and whose the failures are."""
    counts = {status: sum(finding.status is status for finding in findings) for status in Status}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    whose = sorted({str(finding.owner) for finding in findings if finding.status is Status.FAIL})
    return f"{told}, in {seconds:.1f} s" + (f"; to be mended by {' and by '.join(whose)}" if whose else "")


def as_json(findings: Sequence[Finding], seconds: float, **about: Any) -> str:
    """Return the findings for a machine."""
    told = [
        {
            "check": finding.check,
            "status": finding.status.value,
            "owner": {
                "side": "server" if finding.owner.is_server else "client",
                "name": finding.owner.name,
                "account": finding.owner.account,
            },
            **(
                {"cause": finding.text, "fix": finding.fix}
                if finding.status is Status.FAIL
                else {"reason" if finding.status is Status.NOT_CHECKED else "seen": finding.text}
            ),
        }
        for finding in findings
    ]
    code = exit_code(findings)
    whole = {**about, "findings": told, "seconds": round(seconds, 1), "code": int(code), "exit": code.name}
    return json.dumps(whole, indent=1)
