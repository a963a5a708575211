"""`fedstack`: the first lines make Ctrl-C end at once and in one line, whatever is being imported."""

try:
    from runtime.command_line.at_once import at_once

    at_once()
except KeyboardInterrupt:  # while even that was imported
    from runtime.command_line.at_once import end

    end()


def main() -> None:
    """Run the command line to its exit code."""
    from fedstack.command import run

    try:
        run()
    finally:
        at_once()


if __name__ == "__main__":
    main()
