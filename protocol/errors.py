"""What can go wrong, sorted by what the caller must do about it."""


class NodeError(Exception):
    """An error that the node expects to meet; anything else is a bug and ends the process."""


class Temporary(NodeError):
    """The outside world failed (peer, RPC, disk full): try again later, state is intact."""


class Reset(NodeError):
    """The ground moved (a reorg of the chain): drop derived state, rebuild it, go on."""


class Malformed(NodeError):
    """Untrusted bytes broke the protocol: drop them, lower the sender's score."""


class Refused(NodeError):
    """A valid request that the rules forbid; the message says which rule and shows its evidence."""
