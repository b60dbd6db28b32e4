"""A whole network on one machine: `run` keeps it up, `demo` plays the story on it."""

import functools
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import trio

from node.exits import WrongSettings
from node.shutdown import until_signal
from node.testnet import stage as staging
from node.testnet import story
from node.testnet.docstrings import collect
from node.testnet.folder import LIAR, Folder, specs
from node.testnet.show import Show

STOP_SECONDS = 40.0  # for all processes together
ADAPTER_STEPS = 24
KILL_SECONDS = (5.0, 40.0)  # between two drawn kills


def run(*, folder: Path, nodes: int, window: float, seed: int, as_json: bool) -> int:
    """Keep a network up until Ctrl-C."""
    opened, show = Folder.open(folder, round(window)), Show(as_json=as_json)
    _run(functools.partial(_keep_up, opened, nodes, show))
    return 0


async def _keep_up(folder: Folder, count: int, show: Show) -> None:
    nodes = specs(count)
    show.say(f"test network in {folder.path}")
    async with staging.open_stage(folder, nodes, show, None, ()) as stage:
        await stage.training.wait(show)
        await stage.start(*nodes)
        story.table(stage)
        urls = {node.name: folder.url(node.name) for node in nodes}
        stage.show.data(
            {
                "rpc": folder.rpc_url,
                "l1": folder.l1_url,
                "nodes": urls,
                "contracts": _contracts(stage),
                "l1_contracts": {n: "0x" + at.hex() for n, at in stage.layer1.where.items()},
            }
        )
        show.say(f"L2: {folder.rpc_url}, L1: {folder.l1_url}")
        show.say("Ctrl-C ends all, a second start goes on from here")
        await trio.sleep_forever()


def _contracts(stage: staging.Stage) -> dict[str, str]:
    return {name: "0x" + at.hex() for name, at in stage.desk.ledger.contracts.items()}


def demo(
    *,
    folder: Path | None,
    nodes: int,
    model: Path | None,
    window: float,
    seed: int,
    keep: bool,
    as_json: bool,
    kills: int = 0,
) -> int:
    """Play the story once; 1 if its money does not add up.  `kills` nodes are killed meanwhile."""
    if model is not None and not (model / "config.json").is_file():
        raise WrongSettings(f"--model: no config.json in {model}; want a Hugging Face model folder")
    place = folder or Path(tempfile.mkdtemp(prefix="openledger-demo-"))
    opened, show = Folder.open(place, round(window)), Show(as_json=as_json)
    result: dict[str, Any] = {}
    try:
        _run(functools.partial(_demo, opened, nodes, model, seed, show, kills, result))
    finally:
        if folder is None and not keep:
            shutil.rmtree(place, ignore_errors=True)
        else:
            show.say(f"the network stays in {opened.path}")
    if not result:
        return 130
    show.data(result)
    return 0 if result["sums"]["equal"] else 1


async def _demo(
    folder: Folder,
    count: int,
    model: Path | None,
    seed: int,
    show: Show,
    kills: int,
    result: dict[str, Any],
) -> None:
    nodes = [*specs(count), LIAR]
    accomplice = len(staging.authors_of(collect()))  # the copyist registers last
    extra = ("--seed", str(seed), "--accomplice", str(accomplice))
    async with staging.open_stage(folder, nodes, show, model, extra) as stage:
        async with trio.open_nursery() as nursery:
            if kills:
                nursery.start_soon(_chaos, stage, Random(seed), kills)
            result.update(await story.play(stage, adapter_steps=ADAPTER_STEPS))
            nursery.cancel_scope.cancel()


async def _chaos(stage: staging.Stage, random: Random, kills: int) -> None:
    """kill -9 of drawn nodes at drawn moments; the story must end with the same balances."""
    for _ in range(kills):
        await trio.sleep(random.uniform(*KILL_SECONDS))
        name = random.choice(sorted(stage.processes.children))
        stage.show.say(f"[red]kill -9 {name}[/]")
        stage.processes.kill(name)


def _run(body: Any) -> None:
    trio.run(functools.partial(until_signal, body, deadline=STOP_SECONDS))
