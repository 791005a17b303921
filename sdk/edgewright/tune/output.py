"""What a study leaves behind: for each device a recipe and a plan, for all of them a page and the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgewright.errors import ConfigError
from edgewright.files import write_atomic
from edgewright.report.plain import render_json
from edgewright.report.study.document import StudyDocument

from .answer import Answer, DeviceAnswer

RECIPE, PLAN = "recipe.toml", "run.toml"


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written to, before anything is measured.

    Raises:
        ConfigError: it is a file, or below one.
    """
    for part in (folder, *folder.parents):
        if part.exists():
            if not part.is_dir():
                raise ConfigError(f"{folder}: {part} is not a folder")
            return


def write_folder(answer: Answer, document: StudyDocument, folder: Path) -> list[Path]:
    """Write everything; what was written.

    A single device's recipe and plan are in the folder itself, those of several each in one of their own.
    """
    from edgewright.report.study.page import render_page

    written = []
    for one in answer.devices:
        where = folder if len(answer.devices) == 1 else folder / one.device
        written += write_device(answer, one, where)
    page, data = folder / "study.html", folder / "study.json"
    write_atomic(page, render_page(document).encode())
    write_atomic(data, render_json(document).encode())
    return [*written, page, data]


def write_device(answer: Answer, one: DeviceAnswer, folder: Path) -> list[Path]:
    """The recipe of the setting to ship, and a plan that measures it; nothing where there is none."""
    best = one.choice.best
    if best is None:
        return []
    recipe, plan = folder / RECIPE, folder / PLAN
    description = f"chosen by edgewright tune for {one.device}: {best.setting.words}"
    write_atomic(recipe, best.setting.recipe(description=description).to_toml().encode())
    write_atomic(plan, _plan(answer, one, best.setting.runtime, best.setting.threads).encode())
    return [recipe, plan]


def _plan(answer: Answer, one: DeviceAnswer, runtime: str, threads: int) -> str:
    import tomli_w

    table: dict[str, Any] = {
        "name": f"chosen for {one.device}",
        "workloads": [answer.question.workload],
        "recipes": [RECIPE],
        "runtimes": [runtime],
        "devices": [one.device],
        "threads": threads,
        "preset": answer.question.final_preset,
    }
    return tomli_w.dumps({"plan": table})
