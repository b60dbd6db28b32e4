"""Who may be connected: registered peers, those this node dials, and a few strangers."""

from collections.abc import Callable

from p2p.standing import Standing

STRANGERS_MAX = 8  # unregistered peers at a time: one whose registration is not confirmed yet


class Admission:
    """Decides by peer id; the answer can change while a peer is connected (a ban, an exit)."""

    def __init__(
        self,
        standing: Standing,
        allowed: Callable[[bytes], bool],
        expected: Callable[[bytes], bool],
        connected: Callable[[], list[bytes]],
    ) -> None:
        """`allowed`: registered on chain; `expected`: an address of it is in our settings."""
        self._standing = standing
        self._allowed = allowed
        self._expected = expected
        self._connected = connected

    def admitted(self, peer: bytes) -> bool:
        if self._standing.banned(peer):
            return False
        if self._allowed(peer) or self._expected(peer):
            return True
        others = sum(1 for other in self._connected() if other != peer and self._stranger(other))
        return others < STRANGERS_MAX

    def _stranger(self, peer: bytes) -> bool:
        return not self._allowed(peer) and not self._expected(peer)
