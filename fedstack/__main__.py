"""`fedstack`: the first lines make Ctrl-C end at once and in one line, whatever is being imported."""

from __future__ import annotations

from runtime.command_line import stop


def main() -> None:
    """Run the command line to its exit code."""
    stop.at_once()
    from fedstack.command import run

    try:
        run()
    finally:
        stop.at_once()


if __name__ == "__main__":
    main()
