"""From tokens to text as it may be shown: whole characters only, nothing of a stop string."""

from collections.abc import Callable, Sequence

BROKEN = "\N{REPLACEMENT CHARACTER}"  # what a decoder gives for the first bytes of a character
_PENDING_MAX = 16  # tokens; more than any character needs, then a broken one is shown as such

Decode = Callable[[Sequence[int]], str]


class Transcript:
    """The growing answer: give it tokens, take text.

    `text` is all that may be shown so far; `stopped` tells whether a stop string was met, in which
    case `text` ends before it.
    """

    def __init__(self, decode: Decode, stops: Sequence[str], bytes_max: int) -> None:
        self.text = ""
        self.stopped = self.full = False
        self._decode, self._stops, self._bytes_max = decode, stops, bytes_max
        self._tokens: list[int] = []
        self._context = 0  # tokens before this one no longer shape what comes
        self._read = 0  # tokens whose text is in `_held` or `text`
        self._held = ""  # decoded, but may be the begin of a stop string
        self._size = 0  # bytes of `text`

    def add(self, token: int) -> str:
        """What may be shown after one more token."""
        self._tokens.append(token)
        before = self._decode(self._tokens[self._context : self._read])
        now = self._decode(self._tokens[self._context :])
        waiting = len(self._tokens) - self._read < _PENDING_MAX
        if len(now) <= len(before) or (now.endswith(BROKEN) and waiting):
            return ""
        self._context, self._read = self._read, len(self._tokens)
        return self._pass(now[len(before) :])

    def finish(self) -> str:
        """What is left to show at the end: held text; a character that never ended is dropped."""
        if self.stopped or self.full:
            return ""
        before = self._decode(self._tokens[self._context : self._read])
        rest = self._decode(self._tokens[self._context :])[len(before) :].rstrip(BROKEN)
        shown = self._pass(rest)
        held, self._held = self._held, ""
        return shown if self.stopped or self.full else shown + self._show(held)

    def _pass(self, new: str) -> str:
        text = self._held + new
        met = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        if met:
            self.stopped, self._held = True, ""
            return self._show(text[: min(met)])
        keep = max((overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return self._show(text[: len(text) - keep])

    def _show(self, text: str) -> str:
        data = text.encode("utf-8", "replace")
        room = self._bytes_max - self._size
        if len(data) > room:
            self.full = True
            data = data[:room]
        shown = data.decode("utf-8", "ignore")
        self._size += len(shown.encode())
        self.text += shown
        return shown


def overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` are a proper beginning of `stop`."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
