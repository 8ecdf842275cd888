"""What a run answers beside its numbers: today's options against the photos, and what to put into them instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fastdeg as fd
from fastdeg.degradations.history import History
from fastdeg.frameworks import Options
from fastdeg.runs.workflow import CraftingRun

FRAMEWORK = "realesrgan"  # of the options on the page, where no option file says another one


def answers(run: CraftingRun, inputs: Mapping[str, Any], today: Options | None = None) -> dict[str, Any]:
    """Return the audit of today's options, where there are any, and p as options, for a run's summary."""
    found: dict[str, Any] = {}
    p = run.result.distribution
    if today is not None:
        found["audit"] = fd.frameworks.audit(today, run.target, crafted=p).to_dict()
    if inputs.get("degrade") or p.bins.space is None:
        return found
    writable = [name for name, dialect in fd.frameworks.dialects().items() if dialect.write is not None]
    framework = today.framework if today is not None and today.framework in writable else FRAMEWORK
    history = History.from_dict(inputs["history"]) if inputs.get("history") else None
    try:
        export = fd.frameworks.write(
            p, framework, history=history, downsampling=inputs.get("downsampling"), noise=inputs.get("noise") or "gray"
        )
    except (ValueError, ImportError) as error:
        return found | {"export": {"framework": framework, "files": {}, "notes": [str(error)]}}
    facts = {"framework": framework, "files": dict(export.files), "notes": list(export.notes)}
    return found | {"export": facts | {"lost_mass": export.lost_mass, "distance": export.distance}}
