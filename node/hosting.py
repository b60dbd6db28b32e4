"""Builds the host role: the model in memory, its accounts, its jobs, its HTTP routes."""

from starlette.routing import BaseRoute

from config.settings import Settings
from modelfactory.finetune import train_adapter
from modelfactory.identity import base_id
from modelfactory.manifest import Source
from modelfactory.recipe import Recipe
from node.exits import WrongSettings
from node.http import finetuning, openai
from node.http.operator import Guard
from openlora.dispatch import Dispatch
from openlora.engine import Engine
from openlora.pricing import Price
from protocol.errors import Malformed, Refused
from roles.finetune import Finetunes, Job
from roles.host import Host
from roles.ports import Ports
from roles.serving import Serving


async def build_host(
    settings: Settings, ports: Ports, operator: Guard
) -> tuple[Host, list[BaseRoute]]:
    """Load the base model (seconds); `WrongSettings` if it or a price cannot be used."""
    table = settings.host
    if table.base_model is None:
        raise WrongSettings("host.base_model: missing; set the folder of a causal model")
    try:
        price = Price(input=table.prompt_price, output=table.output_price)
        base = await ports.compute(base_id, table.base_model)
        engine = await ports.compute(_engine, settings)
    except (Refused, Malformed) as error:
        raise WrongSettings(f"host: {error}") from None
    dispatch = Dispatch(engine, ports.compute)
    serving = Serving(ports, dispatch, base, price)
    finetunes = Finetunes(
        train=train_adapter,
        recipe=_recipe,
        source=Source,
        base_dir=table.base_model,
        folder=settings.data_dir / "finetunes",
    )
    host = Host(serving, finetunes, _name(settings, base), table.adapter_bytes_max)
    return host, [*openai.routes(serving), *finetuning.routes(finetunes, ports, operator)]


def _engine(settings: Settings) -> Engine:
    assert settings.host.base_model is not None
    return Engine(
        settings.host.base_model,
        rows=settings.host.batch_max,
        slots=settings.host.adapters_resident_max,
    )


def _recipe(job: Job) -> Recipe:
    return Recipe(steps=job.steps, seed=job.seed)


def _name(settings: Settings, base: bytes) -> str:
    """The name that the base is registered under: its folder's, and some of its id."""
    assert settings.host.base_model is not None
    folder = settings.host.base_model.name.lower()
    kept = "".join(char if char.isalnum() or char in "._-" else "-" for char in folder)
    return f"{kept[:50]}-{base.hex()[:8]}".lstrip("-")
