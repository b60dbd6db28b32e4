"""The engine gives each answer what the plain model with that adapter alone would give."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from openlora.engine import Engine
from openlora.request import MICRO, Delta, Failed, Finished, Request, Sampling
from protocol.errors import Refused, Temporary
from tests.openlora_models import make_adapter, make_base, settings, tensors

PROMPTS = ("The quick", "It jumps over the lazy dog.\nThe", "brown", "Ö", "lazy dog lazy dog")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def engine(base: Path) -> Engine:
    return Engine(base, rows=4, slots=3, rank=8)


def ask(prompt: str, adapter: bytes | None = None, tokens: int = 12, **more: Any) -> Request:
    sampling = Sampling(max_tokens=tokens, **({"temperature": 0} | more))
    return Request(adapter=adapter, prompt=prompt, sampling=sampling)


def greedy(model: Any, engine: Engine, prompt: str, count: int) -> list[int]:
    """Token by token through the whole sequence, nothing remembered."""
    ids = engine.tokens_of(prompt)
    made: list[int] = []
    with torch.inference_mode():
        while len(made) < count and (not made or made[-1] != 2):
            logits = model(input_ids=torch.tensor([ids + made]), use_cache=False).logits
            made.append(int(logits[0, -1].argmax()))
    return made


def with_peft(base: Path, folder: Path, seed: int, rank: int) -> Any:
    """The same random adapter on the same base by peft."""
    from peft import PeftModel
    from safetensors.torch import save_file
    from transformers import LlamaForCausalLM

    folder.mkdir()
    save_file(tensors(seed, rank), folder / "adapter_model.safetensors")
    config = settings(rank, target_modules="all-linear", task_type="CAUSAL_LM")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), folder)


@pytest.mark.filterwarnings("ignore")  # peft's own, while it loads
def test_a_mixed_batch_equals_peft_one_by_one(base: Path, engine: Engine, tmp_path: Path) -> None:
    """Base rows and rows of two adapters of different rank, more answers than rows."""
    from transformers import LlamaForCausalLM

    plain: dict[bytes | None, Any] = {None: LlamaForCausalLM.from_pretrained(base)}
    for seed, rank in ((1, 4), (2, 8)):
        adapter = make_adapter(tmp_path / f"{seed}", seed, rank)
        engine.load(adapter, tmp_path / f"{seed}")
        plain[adapter] = with_peft(base, tmp_path / f"peft{seed}", seed, rank)
    pairs = [(prompt, adapter) for prompt in PROMPTS for adapter in plain]
    requests = [ask(*pair, tokens=4 + 5 * at % 11) for at, pair in enumerate(pairs)]

    finished = engine.generate(requests)

    want = [
        greedy(plain[r.adapter].eval(), engine, r.prompt, r.sampling.max_tokens) for r in requests
    ]
    assert [list(f.output_tokens) for f in finished] == want
    assert len({tuple(tokens[:4]) for tokens in want[:3]}) == 3, "the adapters change the answer"


def test_an_unknown_adapter_is_refused_and_never_the_base(engine: Engine) -> None:
    with pytest.raises(Refused, match="is not loaded here"):
        engine.submit(ask("The", bytes(32)))


def test_evicted_adapters_come_back_verified(engine: Engine, tmp_path: Path) -> None:
    """Five adapters through three slots; then one file changes behind the engine's back."""
    ids = []
    for seed in range(5):
        ids.append(make_adapter(tmp_path / f"{seed}", seed))
        engine.load(ids[-1], tmp_path / f"{seed}")
    assert engine.loaded == ids[2:]
    first = [f.text for f in engine.generate([ask("The", adapter) for adapter in ids])]
    again = [f.text for f in engine.generate([ask("The", adapter) for adapter in reversed(ids)])]
    assert first == again[::-1]
    engine.generate([ask("The", adapter) for adapter in ids[2:]])
    make_adapter(tmp_path / "0", 9)

    ticket = engine.submit(ask("The", ids[0]))
    ((seen, event),) = engine.step()

    assert seen == ticket
    assert isinstance(event, Failed)
    assert "hash to" in event.why
    assert not engine.busy


def test_slots_in_use_are_not_taken(base: Path, tmp_path: Path) -> None:
    engine = Engine(base, rows=2, slots=1, rank=8)
    one, two = (make_adapter(tmp_path / f"{seed}", seed) for seed in (1, 2))
    engine.load(one, tmp_path / "1")
    engine.submit(ask("The", one))
    engine.step()

    with pytest.raises(Temporary, match="slots are in use"):
        engine.load(two, tmp_path / "2")


def test_more_adapters_than_slots_wait_for_each_other(base: Path, tmp_path: Path) -> None:
    engine = Engine(base, rows=4, slots=1, rank=8)
    ids = [make_adapter(tmp_path / f"{seed}", seed) for seed in range(3)]
    for seed, adapter in enumerate(ids):
        engine.load(adapter, tmp_path / f"{seed}")

    finished = engine.generate([ask("The", adapter, 5) for adapter in ids])

    assert len({f.output_tokens for f in finished}) == 3


def test_a_seed_fixes_the_answer_whatever_runs_beside_it(engine: Engine) -> None:
    hot = {"temperature": MICRO, "top_p": 9 * MICRO // 10}
    alone = engine.generate([ask("The quick", tokens=20, **hot)])[0]

    crowd = engine.generate([ask(prompt, tokens=20, **hot) for prompt in ("The quick", *PROMPTS)])

    assert crowd[0].output_tokens == alone.output_tokens
    assert len({f.output_tokens for f in crowd[1:]}) > 1


def test_deltas_add_up_and_counts_are_right(engine: Engine) -> None:
    ticket = engine.submit(ask("The", tokens=30, temperature=MICRO))
    text, end = "", None
    while engine.busy:
        for seen, event in engine.step():
            assert seen == ticket
            assert end is None, "nothing comes after the end"
            text += event.text if isinstance(event, Delta) else ""
            end = event if isinstance(event, Finished) else None

    assert end is not None
    assert end.text == text
    assert list(end.prompt_tokens) == engine.tokens_of("The")
    assert len(end.output_tokens) == 30 or end.output_tokens[-1] == 2


def test_a_stop_string_across_tokens_ends_the_answer(engine: Engine) -> None:
    whole = engine.generate([ask("The", tokens=40)])[0]
    stop = next(
        whole.text[at : at + 4]
        for at in range(1, len(whole.text) - 4)
        if whole.text.find(whole.text[at : at + 4]) == at
    )

    cut = engine.generate([ask("The", tokens=40, stops=(stop,))])[0]

    assert cut.reason == "stop"
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert len(cut.output_tokens) <= len(whole.output_tokens)


def test_cancelled_answers_say_nothing_more(engine: Engine) -> None:
    """One that runs, one that waits; the others are not disturbed."""
    want = engine.generate([ask(prompt) for prompt in PROMPTS])
    tickets = [engine.submit(ask(prompt)) for prompt in (*PROMPTS, "dog")]
    engine.step()
    engine.cancel(tickets[0])
    engine.cancel(tickets[5])
    done: dict[int, Finished] = {}
    while engine.busy:
        for ticket, event in engine.step():
            assert ticket not in (tickets[0], tickets[5])
            if isinstance(event, Finished):
                done[ticket] = event

    assert [done[t].text for t in tickets[1:5]] == [f.text for f in want[1:]]


def test_a_request_over_the_context_is_refused(engine: Engine) -> None:
    with pytest.raises(Refused, match=r"need \d+ tokens, the context has 160"):
        engine.submit(ask("The", tokens=160))


def test_a_nan_in_the_base_fails_its_answer_alone(base: Path, tmp_path: Path) -> None:
    """A poisoned slot must not reach the other rows; `read_adapter` would not let it in."""
    engine = Engine(base, rows=4, slots=2, rank=4)
    good, bad = (make_adapter(tmp_path / f"{seed}", seed) for seed in (1, 2))
    engine.load(good, tmp_path / "1")
    want = engine.generate([ask("The", good), ask("It")])
    engine.load(bad, tmp_path / "2")
    for layer in engine._model.pool.layers.values():
        layer.down[engine._shelf._slots[bad]] = float("nan")
    tickets = [engine.submit(r) for r in (ask("The", good), ask("It"), ask("The", bad))]
    ends = {}
    while engine.busy:
        ends.update({t: event for t, event in engine.step() if not isinstance(event, Delta)})

    assert [ends[ticket] for ticket in tickets[:2]] == want
    assert isinstance(ends[tickets[2]], Failed)


def test_a_directory_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot read a causal model"):
        Engine(tmp_path)


def test_the_id_is_the_hash_of_the_file(tmp_path: Path) -> None:
    assert make_adapter(tmp_path / "a", 1) == hashlib.sha256((tmp_path / "a").read_bytes()).digest()
