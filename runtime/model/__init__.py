"""The model after the run: vouched for by its account's own ledger, scored with, bundled, registered."""
