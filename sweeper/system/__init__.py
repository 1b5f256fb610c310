"""Processes, signals and what the machine has."""
