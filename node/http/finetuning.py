"""ModelFactory's routes, in the words of OpenAI's fine-tuning API: jobs and their progress."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from node.http.datanets import failure, guarded
from node.http.operator import Guard
from roles.finetune import Finetunes, Job
from roles.ports import Ports

PATH = "/v1/fine_tuning/jobs"
MICRO = 1_000_000


class NewJob(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")  # names a folder, too
    datanet: int = Field(ge=1, lt=1 << 32)
    shards: int = Field(ge=1, lt=1 << 32)  # the version: the first so many shards
    host_bps: int = Field(default=5_000, ge=0, le=10_000)
    steps: int = Field(default=100, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0, lt=1 << 63)


def routes(finetunes: Finetunes, ports: Ports, operator: Guard) -> list[BaseRoute]:
    async def create(request: Request) -> Response:
        body = NewJob.model_validate_json(await request.body())
        job = finetunes.submit(ports, Job(**body.model_dump()))
        return JSONResponse(_shown(finetunes, job), status_code=201)

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        job = finetunes.jobs(ports).get(name)
        if job is None:
            return failure(404, "not_found", f"no fine-tuning job is named {name!r}")
        return JSONResponse(_shown(finetunes, job))

    async def listed(request: Request) -> Response:
        jobs = finetunes.jobs(ports).values()
        return JSONResponse({"object": "list", "data": [_shown(finetunes, job) for job in jobs]})

    return [
        Route(PATH, guarded(listed)),
        Route(PATH, operator(guarded(create)), methods=["POST"]),
        Route(PATH + "/{name}", guarded(show)),
    ]


def _shown(finetunes: Finetunes, job: Job) -> dict[str, Any]:
    step, total, loss = finetunes.progress.get(job.name, (0, job.steps, 0.0))
    return {
        "object": "fine_tuning.job",
        "id": job.name,
        "status": job.status,
        "error": job.error or None,
        "fine_tuned_model": job.name if job.status == "succeeded" else None,
        "adapter": job.adapter or None,
        "step": step,
        "steps": total,
        "loss_micro": int(loss * MICRO),
        "datanet": job.datanet,
        "shards": job.shards,
    }
