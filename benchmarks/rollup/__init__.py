"""The rollup's engine beside anvil."""
