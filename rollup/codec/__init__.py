"""Formats of the OP Stack, byte for byte: pure functions and values, no I/O."""
