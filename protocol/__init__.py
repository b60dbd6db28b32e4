"""What everyone must agree on, byte for byte.  Pure: no I/O, no clock, no randomness."""

import os

# Keccak in C: 2.5 us instead of 12 by the default backend, here and in the execution engine.
os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")
