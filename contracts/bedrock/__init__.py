"""The published OP Stack contracts that our L2 stands on: artifacts, deployment, genesis, calls."""
