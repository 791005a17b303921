"""Measuring on a device, every file once: a measurement is known by its content and conditions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from edgewright import __version__
from edgewright.artifact import Artifact
from edgewright.errors import EdgewrightError, TransientDeviceError, device_errors
from edgewright.farm.effort import Effort
from edgewright.farm.execute import Ready
from edgewright.farm.group import PASSING, Ended, Trial, Watcher
from edgewright.farm.job import Bench, Settings
from edgewright.farm.session import Station
from edgewright.farm.subject import Subject
from edgewright.report.assemble import row_document
from edgewright.report.verdict import verdict
from edgewright.row import Cell, Failed, Row
from edgewright.store import Store, Studies
from edgewright_agent import protocol as wire

from .crew import Hopeless, Taken
from .figures import Built, Figures, Interval, loss_of
from .question import Place, tried_from
from .setting import Setting
from .workshop import Workshop

#: A measurement of another study serves for so long under the same conditions.
REUSED_WITHIN = timedelta(hours=24)
#: With these the device is gone, and the study with it until it is back.
_GONE = ("transport", "busy", "timeout")
STOPPED = "stopped "


@dataclass(frozen=True)
class Efforts:
    """How much effort a measurement on the way gets, and one of the finalists."""

    explore: Effort
    final: Effort


@dataclass(frozen=True)
class Lab:
    """An open device, what is measured there, and where that is kept."""

    bench: Bench
    station: Station
    subject: Subject
    store: Store
    run_id: str


class FarmRig:
    """See :class:`edgewright.tune.crew.Rig`."""

    def __init__(
        self, lab: Lab, workshop: Workshop, settings: Settings, efforts: Efforts, watcher: Watcher
    ) -> None:
        self._lab = lab
        self._workshop = workshop
        self._settings = settings
        self._efforts = efforts
        self._watcher = watcher
        self._studies = Studies(lab.store)
        self.overlaps = lab.bench.device.target.link is not None

    def explore(self, setting: Setting, built: Built, hopeless: Hopeless) -> Taken:
        """See :class:`edgewright.tune.crew.Rig`."""
        settings = self._for(setting, self._efforts.explore)
        try:
            artifact = self._artifact(setting, built)
        except EdgewrightError as error:
            return Taken("failed", reason=str(error))
        cell = self._cell(artifact, setting, settings)
        place = self._kept(cell)
        if place is not None:
            return self._taken(place)
        with self._undisturbed():
            trial = self._trial(setting, artifact, settings, cell)
            reason = self._launched(trial, settings.effort, hopeless)
        return self._keep(trial, f"{STOPPED}{cell}" if reason else cell, reason)

    def finals(self, settings: Sequence[tuple[Setting, Built]]) -> list[Taken]:
        """See :class:`edgewright.tune.crew.Rig`."""
        effort = self._efforts.final
        asked = [(setting, self._artifact(setting, built)) for setting, built in settings]
        cells = [self._cell(made, setting, self._for(setting, effort)) for setting, made in asked]
        together = _digest(sorted(set(cells)))[:16]
        keys = [f"final {together} {cell}" for cell in cells]
        trials: dict[str, Trial] = {}  # settings whose files come out the same are measured once
        for (setting, made), key in zip(asked, keys, strict=True):
            if key not in trials and self._studies.row(self._lab.run_id, key) is None:
                trials[key] = self._trial(setting, made, self._for(setting, effort), key)
        with self._undisturbed():
            self._in_turn(list(trials.values()), effort)
        taken = {key: self._keep(trial, key, "") for key, trial in trials.items()}
        return [taken.get(key) or self._taken(Place(self._lab.run_id, key)) for key in keys]

    def known(self, place: Place) -> Figures | None:
        """See :class:`edgewright.tune.crew.Rig`."""
        row = self._studies.row(place.run_id, place.key)
        return None if row is None else figures_of(row)

    def _kept(self, cell: str) -> Place | None:
        """Where the same was measured: in this study, or not long ago in another."""
        if self._studies.row(self._lab.run_id, cell) is not None:
            return Place(self._lab.run_id, cell)
        found = self._studies.measured_before(cell, within=REUSED_WITHIN)
        place = tried_from(found).row if found else None
        if place is None or self._studies.row(place.run_id, place.key) is None:
            return None
        return place

    def _taken(self, place: Place) -> Taken:
        row = self._studies.row(place.run_id, place.key)
        assert row is not None
        return _as_taken(row, place)

    def _artifact(self, setting: Setting, built: Built) -> Artifact:
        """The file, the very one that was judged.

        Raises:
            EdgewrightError: it cannot be built any more, or comes out as another.
        """
        with self._workshop.quiet:
            artifact = self._workshop.artifact(setting, self._lab.bench.profile)
        if artifact.sha256 != built.sha256:
            raise EdgewrightError(
                f"{setting.recipe_name} was {built.sha256[:12]} and is {artifact.sha256[:12]} built again",
                mend="begin a new study: the workload or its tools have changed",
            )
        return artifact

    def _for(self, setting: Setting, effort: Effort) -> Settings:
        is_final = effort is self._efforts.final
        return replace(self._settings, threads=setting.threads, effort=effort, evaluate_on_device=is_final)

    def _trial(self, setting: Setting, artifact: Artifact, settings: Settings, cell: str) -> Trial:
        made, target = artifact.provenance, self._lab.bench.device.target
        named = Cell(
            made.workload if made else self._lab.subject.name,
            setting.recipe_name,
            target.name,
            self._lab.bench.profile.name,
            setting.runtime,
        )
        ready = Ready(
            self._lab.subject,
            named,
            artifact,
            datetime.now(UTC).isoformat(timespec="seconds"),
            made.notes if made else (),
            key=f"{self._lab.run_id}/{target.name}/{_digest(cell)[:24]}",
        )
        return Trial(ready, self._lab.bench, settings)

    def _launched(self, trial: Trial, effort: Effort, hopeless: Hopeless) -> str:
        """Launch as often as the effort says; why it was given up after the first, else empty."""
        for number in range(effort.launches):
            if trial.has_ended:
                return ""
            trial.launch(self._watcher)
            if number == 0 and effort.launches > 1 and not trial.has_ended:
                figures = figures_of(trial.row())
                reason = hopeless(figures) if figures else ""
                if reason:
                    return reason
        for _ in range(effort.repeats):
            if not trial.has_ended and _may_improve(trial.row()):
                trial.start_again()
                self._in_turn([trial], replace(effort, repeats=0))
        return ""

    def _in_turn(self, trials: Sequence[Trial], effort: Effort) -> None:
        """One launch of each, then the next of each, so that a drift falls on all alike."""
        for _ in range(effort.launches):
            for trial in trials:
                if not trial.has_ended:
                    trial.launch(self._watcher)
        for _ in range(effort.repeats):
            again = [trial for trial in trials if not trial.has_ended and _may_improve(trial.row())]
            for trial in again:
                trial.start_again()
            if again:
                self._in_turn(again, replace(effort, repeats=0))

    def _keep(self, trial: Trial, key: str, stopped: str) -> Taken:
        """The row is stored, then the device may forget its jobs."""
        row = trial.row()
        self._raise_if_gone(row)
        if stopped:
            row = replace(row, notes=(*row.notes, f"given up after one launch: {stopped}"))
        self._lab.store.add_row(self._lab.run_id, row, key)
        self._lab.station.forget(Ended(key, row, tuple(trial.job_ids)))
        taken = _as_taken(row, Place(self._lab.run_id, key))
        return replace(taken, state="stopped", reason=stopped) if stopped else taken

    def _raise_if_gone(self, row: Row) -> None:
        outcome, name = row.outcome, self._lab.bench.device.target.name
        if isinstance(outcome, Failed) and outcome.code in _GONE:
            kind = device_errors().get(outcome.code, TransientDeviceError)
            raise kind(name, outcome.reason.removeprefix(f"{name}: "))

    def _undisturbed(self) -> AbstractContextManager[object]:
        """On this very machine nothing is built meanwhile."""
        return nullcontext() if self.overlaps else self._workshop.quiet

    def _cell(self, artifact: Artifact, setting: Setting, settings: Settings) -> str:
        """What is measured, under which conditions, on which unit: the same is the same measurement."""
        bench = self._lab.bench
        facts, target = bench.facts, bench.device.target
        version = next((r.version for r in facts.runtimes if r.name == setting.runtime), "")
        energy = settings.effort.energy(bench.profile.power.sensors)
        return _digest(
            {
                "edgewright": __version__,
                "files": [artifact.sha256, artifact.coded.name if artifact.coded else ""],
                "runtime": [setting.runtime, version, setting.threads],
                "providers": settings.asked.order(setting.runtime, bench.profile),
                "unit": [target.name, str(target.link), facts.hostname, facts.board, facts.cpu_model],
                "size": [facts.cpu_count, facts.ram_bytes],
                "system": facts.system,
                "conditions": wire.encode(settings.conditions),
                "scenario": wire.encode(settings.driving.scenario(settings.effort)),
                "effort": [settings.effort.launches, settings.effort.repeats],
                "energy": wire.encode(energy),
                "memory": settings.memory_bytes,
            }
        )


def figures_of(row: Row) -> Figures | None:
    """What a row shows; None when it was not measured, or has no median."""
    shown = row_document(row, 1)
    latency, energy, memory = shown.latency_ms, shown.energy_mj, shown.memory_bytes
    if latency is None or latency.p50 is None or shown.artifact is None or shown.verdict is None:
        return None
    joules = None
    if energy is not None:
        half = energy.gross_uncertainty
        joules = Interval(energy.gross, energy.gross - half, energy.gross + half)
    return Figures(
        latency=Interval(latency.p50, latency.interval.low, latency.interval.high),
        size_bytes=shown.artifact.size_bytes,
        status=shown.verdict.status,
        evidence=shown.verdict.evidence[0] if shown.verdict.evidence else "",
        energy=joules,
        no_energy=shown.energy_reason or "",
        memory_bytes=memory.peak if memory else None,
        loss=None if row.quality is None else loss_of(row.quality),
    )


def _as_taken(row: Row, place: Place) -> Taken:
    if isinstance(row.outcome, Failed):
        return Taken("failed", reason=row.outcome.reason, row=place)
    figures = figures_of(row)
    if figures is None:
        return Taken("failed", reason="it was not timed often enough for a median", row=place)
    return Taken("measured", figures, row=place)


def _may_improve(row: Row) -> bool:
    judged = verdict(row)
    return judged is not None and judged.status in PASSING


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
