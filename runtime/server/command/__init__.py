"""What a person asks of a run on the machine that it writes its files on: status, stop, report."""
