"""A small network with a corpus, a host's paid answers, honest provers, liars and validators."""

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

from attribution.claims import build_body
from node.testnet.lies import KINDS, Liar, NoOccasion
from protocol import events
from protocol.batch import Text
from protocol.datanet import Document, Shard, assemble, shard_of
from protocol.ledger import RoleBit
from protocol.merkle import BODY, TEXT, byte_root
from protocol.messages import PaidAnswer
from protocol.parameters import OPEN, Parameters
from protocol.receipt import Receipt
from protocol.signature import address_of, sign
from roles.prover import Prover
from roles.validator import Validator
from tests.sim.chain import SimChain
from tests.sim.world import Faults, Node, World

PARAMETERS = Parameters(
    span_min=12,
    span_max=48,
    holders_max=3,
    window=120,
    response=30,
    datanet_window=80,
    unbonding=200,
)
ADAPTER, BASE, PAYER = b"\xad" * 32, b"\xba" * 32, b"\x50" * 20
HOST = b"\x70" * 32  # secret
ACCOMPLICE = 9
CURATOR = b"\xcc" * 20
WEIGHTS = b"the weights of the adapter"
STAKE = 1_000 * OPEN

TEXTS = [
    "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs.",
    "Sphinx of black quartz, judge my vow. The quick brown fox jumps over the lazy cat.",
    "How vexingly quick daft zebras jump! Pack my box with five dozen liquor jugs, please.",
    "Sphinx of black quartz, judge my vow; and how vexingly quick daft zebras jump, again.",
]


@cache
def corpus() -> tuple[bytes, tuple[Document, ...], Shard]:
    texts = [text.encode() for text in TEXTS]
    data, starts = assemble(texts)
    table = tuple(
        Document(start, len(text), who, 0, byte_root(TEXT, text), bytes(32), bytes(65))
        for who, (start, text) in enumerate(zip(starts, texts, strict=True), start=1)
    )
    return data, table, shard_of(data, table)


def setup(operators: Sequence[tuple[bytes, RoleBit]], answers: int, price: int) -> list[Any]:
    """What happened on chain before the story begins."""
    shard, host = corpus()[2], address_of(HOST)
    funded = PARAMETERS.contributors_share(price) * answers
    return [
        events.ParametersProposed(1, 0, PARAMETERS),
        *(events.ContributorRegistered(who, bytes([who]) * 20) for who in range(1, 10)),
        events.DatanetCreated(1, CURATOR, "pangrams"),
        events.ShardPublished(
            1, 0, CURATOR, shard.text_root, shard.document_root, shard.text_size,
            shard.document_count, 0, 1,
        ),
        events.ShardFinalized(1, 0),
        events.BaseRegistered(BASE, host, "base"),
        events.AdapterRegistered(
            ADAPTER, BASE, host, 1, 1, byte_root(BODY, WEIGHTS), len(WEIGHTS), bytes(32), bytes(32),
            5_000, "pangrams",
        ),
        *(
            event
            for secret, role in [*operators, (HOST, RoleBit.HOST)]
            for event in (
                events.NodeRegistered(address_of(secret), int(role), 0, secret[:4], ""),
                events.Staked(address_of(secret), address_of(secret), STAKE),
            )
        ),
        events.Deposited(PAYER, host, price * answers, price * answers),
        events.Redeemed(PAYER, host, ADAPTER, price * answers, price * answers, 0, 0, 0, 0, 0),
        events.Funded(host, funded, funded),
    ]  # fmt: skip


def output(random: Random) -> bytes:
    """An answer: pieces of the corpus among other words."""
    words = [
        "and",
        "so",
        "it",
        "was",
        "that",
        "he",
        "said",
        "to",
        "them",
        "all",
        "of",
        "this",
        "is",
        "not",
        "from",
        "here",
    ]
    parts = []
    for _ in range(random.randint(1, 4)):
        text = random.choice(TEXTS)
        start = random.choice(
            [at for at in range(len(text) - 14) if at == 0 or text[at - 1] == " "]
        )
        parts.append(text[start : start + random.randint(12, 60)])
        parts.append(" ".join(random.choices(words, k=random.randint(1, 4))))
    return " ".join(parts).encode()


def paid_answers(random: Random, chain: SimChain, count: int, price: int) -> list[PaidAnswer]:
    """Signed by the host, paid by consecutive parts of one voucher."""
    answers = []
    for number in range(count):
        said = output(random)
        prompt = said[: random.randint(0, len(said))] if random.random() < 0.3 else b"What?"
        text = Text(prompt, said)
        receipt = Receipt(
            number.to_bytes(32, "big"), BASE, ADAPTER, bytes(32),
            byte_root(TEXT, prompt), len(prompt), byte_root(TEXT, said), len(said), bytes(32),
            1, 1, price, price * (number + 1), 0, 0, number, 10**9, address_of(HOST), PAYER,
        )  # fmt: skip
        signature = sign(HOST, receipt.digest(chain.escrow))
        answers.append(PaidAnswer(receipt, signature, text))
    return answers


def hold_corpus(world: World) -> None:
    """Everybody has the corpus and the adapter's weights."""
    data, table, shard = corpus()
    for node in world.nodes:
        node.held[shard.text_root] = data
        node.held[shard.document_root] = b"".join(row.encode() for row in table)
        node.held[byte_root(BODY, WEIGHTS)] = WEIGHTS


class Sometimes:
    """A prover's composer that tells one lie a batch, each kind in turn, then is honest."""

    def __init__(self, random: Random, kinds: Sequence[str] = KINDS) -> None:
        self.random, self.kinds, self.told = random, list(kinds), list[str]()

    def __call__(self, answered: Any, digests: Any, old: Any, parameters: Any) -> Any:
        for kind in list(self.kinds):
            try:
                body = Liar(kind, self.random, ACCOMPLICE)(answered, digests, old, parameters)
            except NoOccasion:
                continue
            if body != build_body(answered, digests, old, parameters):
                self.told.append(kind)
                self.kinds.remove(kind)
                return body
        return build_body(answered, digests, old, parameters)


def story(
    random: Random,
    faults: Faults,
    *,
    provers: int,
    liars: int,
    validators: int,
    answers: int,
    price: int = OPEN + 10_001,
) -> tuple[World, list[Node], list[Node], list[Sometimes]]:
    """(world, honest nodes, lying nodes, what each liar has told)."""
    secrets = [bytes([40 + n]) * 32 for n in range(provers + liars + validators)]
    roles = [RoleBit.PROVER] * (provers + liars) + [RoleBit.VALIDATOR] * validators
    chain = SimChain(setup(list(zip(secrets, roles, strict=True)), answers, price))
    world = World(random, chain, faults)
    chain.delay = world.late
    lies = [Sometimes(random) for _ in range(liars)]
    patience = random.choice([0, 30])  # liars often come first
    honest = [
        world.node(secret, lambda: [Prover(interval=patience)]) for secret in secrets[:provers]
    ]
    lying = [
        world.node(secret, lambda lie=lie: [Prover(compose=lie)])  # type: ignore[misc]
        for secret, lie in zip(secrets[provers:], lies, strict=False)
    ]
    honest += [world.node(secret, lambda: [Validator()]) for secret in secrets[provers + liars :]]
    hold_corpus(world)
    world.said += [
        (address_of(HOST), PaidAnswer, answer.encode())
        for answer in paid_answers(random, chain, answers, price)
    ]
    return world, honest, lying, lies
