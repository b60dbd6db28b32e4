"""Ours beside others, measured in turn in one run."""
