"""A run as a notebook shows it: started in a process of its own, drawn as it goes, told when it is over."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from runtime.errors import printable
from runtime.server.notebook.home import default_out

if TYPE_CHECKING:  # IPython and matplotlib are at hand where a notebook runs, and cost a second elsewhere
    from IPython.display import HTML, Image

LOG: Final = "fedstack-run.log"
SHOWN: Final = ("joined", "rejoined", "left", "started", "job_failed", "not_started", "set_aside", "refused")
"""Events of a client that are told in words."""


class WatchedRun:
    """One run, by what it writes into its output folder.

    Parameters
    ----------
    out
        The output folder.
    process
        The run's own process; None to look at a run that somebody else started, or that is over.
    """

    def __init__(self, out: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self.out, self._process = Path(out), process

    @classmethod
    def start(cls, options: Sequence[str] = ()) -> Self:
        """Start `fedstack run` with some options; it outlives this kernel, and auto-stop leaves it alone."""
        out = default_out()
        words = [str(word) for word in options]
        if "--out" in words:
            out = Path(words[words.index("--out") + 1])
        out.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "runtime.server.server", *words]
        with (out / LOG).open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        return cls(out, process)

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        if self._process is not None:
            return self._process.poll() is not None
        return any(event["event"] == "verdict" for event in self.events())

    def stop(self) -> None:
        """End it as Ctrl-C does: every client is told, and what there is of a model is kept."""
        if self._process is not None and not self.over:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()

    def events(self) -> list[dict[str, Any]]:
        """Return what the ledger says of the run so far; a line that is being written is left for later."""
        file = self.out / "ledger.jsonl"
        events = list(_lines(file.read_text())) if file.exists() else []
        begins = [n for n, event in enumerate(events) if event["event"] == "run"]
        return events[begins[-1] :] if begins else []

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Return what is measured round by round: the test set's scores, or the means of an app's metrics."""
        found: dict[str, list[tuple[int, float]]] = {}
        for event in self.events():
            if event["event"] not in ("round", "replies"):
                continue
            scores = event.get("test") or event.get("metrics") or {}
            for name, value in scores.items():
                if isinstance(value, int | float):
                    found.setdefault(name, []).append((event["round"], float(value)))
        return found

    def story(self) -> list[str]:
        """Return what happened to whom, a line each."""
        return [
            f"{event['client']}: {event['event'].replace('_', ' ')}"
            + (f" ({printable(event['reason'])})" if event.get("reason") else "")
            for event in self.events()
            if event["event"] in SHOWN and "client" in event
        ]

    def draw(self) -> Image:
        """Draw every curve so far, one small picture each."""
        from IPython.display import Image
        from matplotlib.figure import Figure

        curves = self.curves() or {"waiting for the first round": []}
        columns = min(len(curves), 4)
        rows = -(-len(curves) // columns)
        figure = Figure(figsize=(3.4 * columns, 2.6 * rows), layout="constrained")
        for place, (name, points) in enumerate(curves.items(), 1):
            axes = figure.add_subplot(rows, columns, place)
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", markersize=3, linewidth=1.4)
            axes.set_title(name.replace("_", " "), fontsize=10)
            axes.set_xlabel("round", fontsize=8)
            axes.tick_params(labelsize=8)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=110)
        return Image(data=drawn.getvalue())  # type: ignore[no-untyped-call]

    def follow(self, seconds: float = 1.0) -> None:
        """Show the curves as they grow, until the run is over."""
        from IPython.display import clear_output, display

        while True:
            over = self.over
            clear_output(wait=True)  # type: ignore[no-untyped-call]
            display(self.draw())  # type: ignore[no-untyped-call]
            print("\n".join(self.story()[-8:]) or "waiting for clients")  # noqa: T201
            if over:
                break
            time.sleep(seconds)
        print(self.verdict())  # noqa: T201

    def report(self) -> dict[str, Any]:
        """Return report.json.

        Raises
        ------
        RuntimeError
            With the end of the run's own output, where it came to no report.
        """
        file = self.out / "report.json"
        started = [event["settings"]["run_id"] for event in self.events()[:1]]
        report: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        if not report or [report["run_id"]] != started:
            log = self.out / LOG
            said = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
            raise RuntimeError("There is no report of this run.\n" + "\n".join(said))
        return report

    def verdict(self) -> str:
        """Return how it ended, in a sentence."""
        try:
            report = self.report()
        except RuntimeError as error:
            return str(error)
        return f"{report['verdict']}{': ' + printable(report['reason']) if report['reason'] else ''}"

    def contributions(self) -> list[dict[str, Any]]:
        """Return who took part in what, and what each gains on rows of its own that it kept back."""
        found, report = [], self.report()
        lead = report["scores"][0]["name"] if report.get("scores") else "roc_auc"
        for client in report["clients"]:
            value = client.get("value") or {}
            alone, federated = (value.get(name, {}).get(lead) for name in ("local_only", "federated"))
            ends = [(value.get("gain") or {}).get(end) for end in ("low", "high")]
            gain = None if None in ends else f"{ends[0]:+.3f} to {ends[1]:+.3f}"
            row = {"client": client["name"], "status": client["status"], "alone": alone}
            found.append({**row, "federated": federated, "gain": gain})
        return found

    def table(self) -> HTML:
        """Return the contributions as a table."""
        from html import escape

        from IPython.display import HTML

        rows, scores = self.contributions(), self.report().get("scores") or [{"title": "ROC-AUC"}]
        head = "".join(
            f"<th>{name}</th>"
            for name in ("client", "took part", f"{scores[0]['title']} alone", "federated", "gain, 95 %")
        )
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(_cell(value))}</td>' for value in row.values())}</tr>"
            for row in rows
        )
        return HTML(f"<table><tr>{head}</tr>{body}</table>")  # type: ignore[no-untyped-call]

    def page(self, height: int = 720) -> HTML:
        """Return the run's report, to be read in the notebook."""
        from html import escape

        from IPython.display import HTML

        page = escape((self.out / "report.html").read_text(encoding="utf-8"))
        frame = f'<iframe srcdoc="{page}" width="100%" height="{height}" style="border:0"></iframe>'
        return HTML(frame)  # type: ignore[no-untyped-call]


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else printable(value)
