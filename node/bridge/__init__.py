"""Moves $OPEN between L1 and L2 for one account: what the command `openledger bridge` does."""
