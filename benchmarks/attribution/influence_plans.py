"""What the influence benchmark trains: its tasks, sized for a whole run and for a quick one."""

from benchmarks.attribution.lds import Plan
from benchmarks.attribution.lds_models import Tuning

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

PLANS = (
    Plan(
        task="transform",
        base="small",
        tuning=Tuning(targets=LINEAR, epochs=12, rate=1e-2),
    ),
    Plan(
        task="arithmetic",
        base="small",
        tuning=Tuning(targets=LINEAR, epochs=8, rate=1e-2),
    ),
    Plan(
        task="facts",
        base="large",
        per_kind=15,
        tuning=Tuning(targets=LINEAR, epochs=6, rate=5e-3),
        halves=24,
    ),
)
QUICK = tuple(
    Plan(
        task=plan.task,
        base="quick",
        per_kind=6,
        asked=2,
        tuning=Tuning(targets=LINEAR, epochs=6, rate=1e-2),
        halves=12,
        seeds=1,
    )
    for plan in PLANS
)
