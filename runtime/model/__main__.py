"""Runs the command line of models."""

from runtime.model.command import main

main()
