"""Many adapters on one base model: answers join and leave a running batch, token by token.

The engine does nothing by itself: its owner calls `step()` while it is `busy`, in any thread
(`openlora.dispatch` does so under trio).  `submit` and `cancel` are quick and may be called while a
step runs elsewhere; `load` waits for it.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openlora.layers import BARE
from openlora.model import Model
from openlora.request import Delta, Event, Failed, Finished, Request
from openlora.sampling import choose
from openlora.shelf import Shelf
from openlora.text import Transcript
from protocol.errors import Refused, Temporary
from protocol.receipt import OUTPUT_MAX

ROWS = 16  # answers generated at the same time
QUEUE_MAX = 256  # answers waiting for a row
CONTEXT_MAX = 2048  # tokens of one answer, prompt included
SLOTS = 32  # adapters loaded at the same time
RANK = 32  # the largest rank a slot holds
PREFILL_MAX = 512  # prompt tokens of one step, unless one prompt alone has more

Happened = tuple[int, Event]  # ticket of the answer, what happened to it


@dataclass(slots=True)
class _Answer:
    ticket: int
    request: Request
    prompt: list[int]
    transcript: Transcript
    slot: int = BARE
    output: list[int] = field(default_factory=list)


class Engine:
    """Answers by any loaded adapter of one base model."""

    def __init__(
        self,
        base_dir: Path,
        *,
        rows: int = ROWS,
        context: int = CONTEXT_MAX,
        slots: int = SLOTS,
        rank: int = RANK,
    ) -> None:
        """Raises `Refused` for a base that cannot be read or served."""
        self._model = Model(base_dir, rows=rows, context=context, slots=slots, rank=rank)
        self._shelf = Shelf(self._model.pool)
        self._rows = rows
        self._waiting: deque[_Answer] = deque()
        self._running: list[_Answer] = []  # place in the list = row in the memory
        self._cancels: deque[int] = deque()
        self._tickets = 0
        self._lock = threading.Lock()  # of everything but the two queues

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self._model.context

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def loaded(self) -> list[bytes]:
        """Adapters in slots, least recently used first."""
        return self._shelf.loaded

    def load(self, adapter_id: bytes, path: Path) -> None:
        """Verify an adapter file against its sha256 and keep it ready.

        Raises `Refused` with one sentence for anything wrong with the file, `Temporary` when all
        slots are in use.  From then on `path` is known: an evicted adapter is read and verified
        again when a request names it.
        """
        with self._lock:
            self._shelf.load(adapter_id, path)

    def tokens_of(self, text: str) -> list[int]:
        """The prompt tokens of `text`, as the model reads and the client pays them."""
        ids: list[int] = self._model.tokenizer(text, verbose=False).input_ids
        return ids

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text of a conversation, by the base's chat template; lines where it has none."""
        tokenizer = self._model.tokenizer
        if tokenizer.chat_template is None:
            return "".join(message["content"] + "\n" for message in messages)
        try:
            text: str = tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # templates raise whatever they like
            raise Refused(f"the model's chat template refuses these messages: {error}") from None
        return text

    def submit(self, request: Request) -> int:
        """Queue a request; returns its ticket.

        Raises `Refused` for an unknown adapter or a request over the context, `Temporary` when the
        queue is full.
        """
        if request.adapter is not None and request.adapter not in self._shelf:
            raise Refused(f"adapter {request.adapter.hex()} is not loaded here")
        if len(self._waiting) >= QUEUE_MAX:
            raise Temporary(f"{QUEUE_MAX} requests are waiting, try again later")
        prompt = self.tokens_of(request.prompt)
        wanted = len(prompt) + request.sampling.max_tokens
        if not prompt or wanted > self.context:
            raise Refused(
                f"prompt ({len(prompt)} tokens) and max_tokens ({request.sampling.max_tokens}) "
                f"need {wanted} tokens, the context has {self.context}"
            )
        self._tickets += 1
        transcript = Transcript(self._decode, request.sampling.stops, OUTPUT_MAX)
        self._waiting.append(_Answer(self._tickets, request, prompt, transcript))
        return self._tickets

    def cancel(self, ticket: int) -> None:
        """Forget an answer at the next step; nothing more is said about it."""
        self._cancels.append(ticket)

    def step(self) -> list[Happened]:
        """Generate one token of every running answer, let waiting ones in; what happened."""
        with self._lock:
            return self._step()

    def _step(self) -> list[Happened]:
        self._drop_cancelled()
        happened, joining = self._admit()
        answers = [*self._running, *joining]
        if not answers:
            return happened
        decodes = [
            (answer.output[-1], len(answer.prompt) + len(answer.output) - 1, answer.slot)
            for answer in self._running
        ]
        prompts = [(answer.prompt, answer.slot) for answer in joining]
        logits = self._model.forward(decodes, prompts).numpy()
        self._running = answers
        for answer, row in zip(answers, logits, strict=True):
            happened += self._advance(answer, row)
        ended = {ticket for ticket, event in happened if not isinstance(event, Delta)}
        self._leave(ended)
        return happened

    def generate(self, requests: Sequence[Request]) -> list[Finished]:
        """The answers to `requests`, in order; runs until all are done."""
        tickets = [self.submit(request) for request in requests]
        done: dict[int, Finished] = {}
        while self.busy:
            for ticket, event in self.step():
                if isinstance(event, Failed):
                    raise Temporary(event.why)
                if isinstance(event, Finished):
                    done[ticket] = event
        return [done[ticket] for ticket in tickets]

    def _admit(self) -> tuple[list[Happened], list[_Answer]]:
        happened: list[Happened] = []
        joining: list[_Answer] = []
        room = PREFILL_MAX
        while self._waiting and len(self._running) + len(joining) < self._rows:
            answer = self._waiting[0]
            if joining and len(answer.prompt) > room:
                break
            try:
                if answer.request.adapter is not None:
                    answer.slot = self._shelf.pin(answer.request.adapter)
            except Temporary:
                break  # every slot is in use: wait for an answer to end
            except Refused as error:  # the file changed since it was first verified
                happened.append((answer.ticket, Failed(str(error))))
                self._waiting.popleft()
                continue
            joining.append(self._waiting.popleft())
            room -= len(answer.prompt)
        return happened, joining

    def _advance(
        self, answer: _Answer, logits: np.ndarray[Any, np.dtype[np.float32]]
    ) -> list[Happened]:
        sampling = answer.request.sampling
        if not np.isfinite(logits).all():
            return [(answer.ticket, Failed("the model's output is not a number"))]
        place = len(answer.prompt) + len(answer.output)
        seed = answer.request.seed
        token = choose(logits, sampling.temperature, sampling.top_p, seed, place)
        answer.output.append(token)
        ended = token in self._model.end_tokens
        shown = "" if ended else answer.transcript.add(token)
        full = answer.transcript.full or len(answer.output) >= sampling.max_tokens
        done = ended or answer.transcript.stopped or full
        if done:
            shown += answer.transcript.finish()
        happened: list[Happened] = [(answer.ticket, Delta(shown))] if shown else []
        if done:
            stopped = ended or answer.transcript.stopped
            text, output = answer.transcript.text, tuple(answer.output)
            reason = "stop" if stopped else "length"
            finished = Finished(reason, text, tuple(answer.prompt), output)
            happened.append((answer.ticket, finished))
        return happened

    def _drop_cancelled(self) -> None:
        cancelled = {self._cancels.popleft() for _ in range(len(self._cancels))}
        if cancelled:
            for _ in range(len(self._waiting)):  # not by iteration: `submit` may append meanwhile
                answer = self._waiting.popleft()
                if answer.ticket not in cancelled:
                    self._waiting.append(answer)
            self._leave(cancelled)

    def _leave(self, tickets: set[int]) -> None:
        """Free the rows of ended answers; the last row moves into each gap."""
        for row in range(len(self._running) - 1, -1, -1):
            answer = self._running[row]
            if answer.ticket in tickets:
                last = self._running.pop()
                if last is not answer:
                    self._model.memory.move(len(self._running), row)
                    self._running[row] = last
                if answer.request.adapter is not None:
                    self._shelf.unpin(answer.request.adapter)

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._model.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text
