"""The report document: the contract's names, nulls with reasons, and the sentence at the top."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import HOSTILE, device, environment, latencies, launch, measured, plan_run, row, stored

from edgewright.artifact import Quality
from edgewright.errors import ConfigError
from edgewright.report import ReportDocument, load_document, render, report_document, write
from edgewright.report.compare import Incomparable, compare_rows
from edgewright.report.conditions import specimens
from edgewright.report.document import json_schema
from edgewright.report.text import clean
from edgewright.report.view import views
from edgewright.row import Cell, Failed, Row, Skipped
from edgewright_agent.protocol import Energy, Memory, PowerTrace, Samples, Window

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "report.schema.json"


def as_json(document: ReportDocument) -> Any:
    data = json.loads(render(document, "json"))
    jsonschema.validate(data, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    return data


def only(one: Row) -> Any:
    return as_json(report_document(stored(one)))["rows"][0]


def test_the_schema_file_is_the_models_schema() -> None:
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == json_schema(), (
        "regenerate docs/report.schema.json: python -m edgewright.report.document > docs/report.schema.json"
    )


def test_a_whole_run_keeps_the_contract() -> None:
    data = as_json(report_document(plan_run(launches=2)))
    assert data["schema"] == "edgewright.report/1"
    assert len(data["rows"]) == 48
    first = data["rows"][0]
    contract = {
        "artifact": {"sha256", "size_bytes", "format"},
        "verdict": {"status", "evidence"},
        "latency_ms": {"p50", "p90", "p95", "p99", "mean", "min", "max", "count"},
        "phases_ms": {"load", "first", "warmup"},
        "memory_bytes": {"baseline", "loaded", "peak"},
        "parity": {"cosine", "max_abs"},
        "quality": {"metric", "value", "baseline", "samples"},
    }
    for name, fields in contract.items():
        assert fields <= set(first[name]), name
    assert {
        "workload",
        "recipe",
        "device",
        "profile",
        "runtime",
        "provider",
        "outcome",
        "reason",
        "energy_mj",
        "energy_reason",
    } <= set(first)
    assert {r["outcome"] for r in data["rows"]} == {"measured", "failed", "skipped"}


def test_figures_are_those_of_the_samples() -> None:
    samples = [1_000_000 + 1_000 * i for i in range(2001)]
    found = only(row(measured(launch(samples))))
    latency = found["latency_ms"]
    assert (latency["p50"], latency["p90"], latency["p99"]) == (2.0, 2.8, 2.98)
    assert (latency["min"], latency["max"], latency["mean"], latency["count"]) == (1.0, 3.0, 2.0, 2001)
    assert latency["upper"]["p90"] > 2.8 and latency["reasons"] == {}
    assert found["phases_ms"] == {"load": 81.0, "first": 3.0, "warmup": 1.10495, "build": None}
    assert found["launches"][0]["latency_ns"] == samples
    assert found["launches"][0]["latency_stride"] == 1


def test_a_percentile_without_enough_samples_is_null_with_the_reason() -> None:
    latency = only(row(measured(launch(latencies(4.0, 100)))))["latency_ms"]
    assert latency["p95"] is None and latency["p99"] is None and latency["p90"] is not None
    assert latency["reasons"] == {
        "p95": "needs 130 samples for 99% confidence, there are 100",
        "p99": "needs 662 samples for 99% confidence, there are 100",
    }


def test_raw_samples_are_thinned_evenly_and_said_so_unless_all_are_asked_for() -> None:
    run = stored(row(measured(launch(range(1, 25_002), duration_ns=10**10))))
    thinned = report_document(run).rows[0].launches[0]
    assert (thinned.latency_stride, thinned.latency_count) == (3, 25_001)
    assert thinned.latency_ns == list(range(1, 25_002, 3))
    whole = report_document(run, samples=None).rows[0].launches[0]
    assert whole.latency_stride == 1 and len(whole.latency_ns) == 25_001
    assert report_document(run).rows[0].latency_ms == report_document(run, samples=None).rows[0].latency_ms


def test_what_was_not_measured_is_null_with_a_reason() -> None:
    for outcome, name in (
        (Failed("no such host", "transport", True), "failed"),
        (Skipped("cannot be"), "skipped"),
    ):
        found = only(row(outcome, quality=None, artifact=None))
        assert found["outcome"] == name and found["reason"] in ("no such host", "cannot be")
        for field in ("latency_ms", "energy_mj", "parity", "quality", "verdict", "memory_bytes", "phases_ms"):
            assert found[field] is None, field
        for field in ("latency_reason", "energy_reason", "parity_reason", "quality_reason"):
            assert found[field], field
    found = only(row(quality=None))
    assert found["energy_reason"] == "no power sensor answered: rapl needs root"
    assert found["quality_reason"] == "quality was not judged"


def test_a_failure_keeps_its_code_and_whether_to_try_again() -> None:
    found = only(row(Failed("no answer", "timeout", retryable=True)))
    assert (found["error_code"], found["retryable"]) == ("timeout", True)


def test_a_quality_that_is_no_number_is_null_with_the_reason() -> None:
    found = only(row(quality=Quality("accuracy", float("nan"), 0.9, 10)))
    assert found["quality"] is None
    assert found["quality_reason"] == "accuracy came out as nan against 0.9"


def test_a_peak_that_was_not_observed_is_null() -> None:
    memory = Memory(1, 2, None, "clear_refs is not allowed")
    found = only(row(measured(launch(memory=memory))))["memory_bytes"]
    told = {"baseline": 1, "loaded": 2, "peak": None, "peak_method": "clear_refs is not allowed"}
    assert found.items() >= told.items()
    assert (found["model_loaded"], found["model_peak"]) == (1, None)
    assert found["pss"] is None and found["notes"]["pss"] == "it was not read"


def test_the_model_s_memory_is_what_it_adds_to_each_launch_s_own_baseline() -> None:
    notes = {"pss": "smaps_rollup", "arena": "profile", "device": "no accelerator"}
    launches = [
        launch(memory=Memory(base, base + 10, base + 15, "VmHWM", pss, 7, None, notes))
        for base, pss in ((100, 90), (130, None), (160, 150))
    ]
    found = only(row(measured(*launches)))["memory_bytes"]
    assert (found["baseline"], found["model_loaded"], found["model_peak"]) == (130, 10, 15)
    assert (found["pss"], found["arena"], found["device"]) == (None, 7, None)
    assert found["notes"] == notes


def _powered(milliwatts: int, seconds: int = 4) -> Energy:
    """A sensor at 100 Hz that reads 1 W when idle and more between second 2 and 2 + ``seconds``."""
    end = 4 + seconds
    times = range(0, end * 10**9, 10**7)
    values = (milliwatts if 2 <= t / 1e9 < 2 + seconds else 1000 for t in times)
    trace = PowerTrace(
        "ina3221", "board", ("VDD_IN",), "the total rail", "power", Samples(times), Samples(values)
    )
    edges = (
        ("idle-before", 0, 2, 0),
        ("active", 2, 2 + seconds, 400),
        ("idle-after", 2 + seconds, end - 1, 0),
    )
    return Energy(trace, tuple(Window(name, a * 10**9, b * 10**9, n) for name, a, b, n in edges))


def test_energy_is_the_mean_over_launches() -> None:
    launches = [launch(energy=_powered(mw), duration_ns=12 * 10**9) for mw in (3000, 3100)]
    energy = only(row(measured(*launches)))["energy_mj"]
    assert energy["gross"] == pytest.approx(30.5, rel=0.01)
    assert energy["net"] == pytest.approx(20.5, rel=0.02)
    assert (energy["sensor"], energy["scope"], energy["rails"]) == ("ina3221", "board", ["VDD_IN"])
    assert energy["gross_uncertainty"] == pytest.approx(
        1.0, rel=0.01
    )  # the launches lie 1 mJ apart: twice their standard error


def test_energy_of_a_launch_that_has_none_is_not_made_up() -> None:
    found = only(row(measured(launch(energy=_powered(3000)), launch())))
    assert found["energy_mj"] is None
    assert found["energy_reason"] == "launch 2: no power sensor answered: rapl needs root"


def test_the_worst_launchs_parity_is_told() -> None:
    bad = launch()
    assert bad.parity is not None
    bad = replace(bad, parity=replace(bad.parity, cosine=0.9, max_abs=0.5))
    parity = only(row(measured(launch(), bad)))["parity"]
    assert (parity["cosine"], parity["max_abs"]) == (0.9, 0.5)
    none = replace(launch(), parity=None, parity_reason="the host gave no expected outputs")
    found = only(row(measured(launch(), none)))
    assert found["parity"] is None and found["parity_reason"] == "the host gave no expected outputs"


# --- the sentence at the top ------------------------------------------------------------------


def _setting(recipe: str, p50_ms: float, value: float, **changes: object) -> Row:
    one = row(
        measured(launch(latencies(p50_ms, 1500, seed=len(recipe)))),
        cell=Cell("digits", recipe, "pi5", "raspberry-pi-5", "onnxruntime"),
        quality=Quality("accuracy", value, 0.975, 360),
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def test_the_fastest_valid_setting_that_keeps_its_quality_is_shipped() -> None:
    rows = (
        _setting("fp32", 4.0, 0.975),
        _setting("int8-static", 2.0, 0.965),
        _setting("prune50-int8", 1.0, 0.9649),
    )
    (headline,) = report_document(stored(*rows)).headlines
    assert headline.recipe == "int8-static"
    assert headline.sentence.startswith(
        "Ship digits on pi5 as int8-static in onnxruntime: 2.00 ms median (2.00× faster"
    )
    assert any("accuracy worse by more than 0.01: prune50-int8" in remark for remark in headline.remarks)


def test_a_metric_where_less_is_better_is_read_so() -> None:
    errors = [
        replace(_setting(r, ms, 0.0), quality=Quality("error", v, 0.10, 99, higher_is_better=False))
        for r, ms, v in (("fp32", 4.0, 0.1), ("fast", 1.0, 0.2), ("good", 3.0, 0.02))
    ]
    (headline,) = report_document(stored(*errors)).headlines
    assert headline.recipe == "good"


def test_a_row_that_is_not_valid_is_never_recommended() -> None:
    hot = measured(
        launch(latencies(1.0), states=[environment(0), environment(9, throttled={"now:throttled": 1})])
    )
    rows = (_setting("fp32", 4.0, 0.975), _setting("int8-static", 1.0, 0.975, outcome=hot))
    (headline,) = report_document(stored(*rows)).headlines
    assert headline.recipe == "fp32"
    assert any("a lower median, but throttled: int8-static" in remark for remark in headline.remarks)
    (headline,) = report_document(stored(rows[1])).headlines
    assert headline.recipe is None
    assert headline.sentence == "No measurement of digits on pi5 is clean enough to choose by (throttled)."


def test_settings_that_cannot_be_told_apart_are_called_so() -> None:
    rows = (_setting("fp32", 4.0, 0.975), _setting("fp16", 4.001, 0.975))
    again = (_setting("fp32", 4.002, 0.975), _setting("fp16", 4.003, 0.975))  # each is told once
    (headline,) = report_document(stored(*rows, *again)).headlines
    assert headline.recipe == "fp32"
    assert "Not told apart from it in latency: fp16 in onnxruntime." in headline.remarks


def test_nothing_measured_is_said() -> None:
    (headline,) = report_document(stored(row(Failed("x", "busy")), row(Skipped("y")))).headlines
    assert headline.sentence == "Nothing was measured for digits on pi5: 1 failed and 1 skipped."


def test_without_quality_the_choice_says_so() -> None:
    (headline,) = report_document(stored(_setting("fp32", 4.0, 0.9, quality=None))).headlines
    assert headline.remarks[0] == "Quality was not judged, so the choice is by latency alone."


def test_emulated_figures_recommend_nothing() -> None:
    outcome = measured(launch(), board=replace(measured().device, board="linux,dummy-virt"))
    (headline,) = report_document(stored(row(outcome))).headlines
    assert headline.recipe is None and "emulation" in headline.sentence


def _emulated(recipe: str, ms: float) -> Row:
    outcome = measured(launch(latencies(ms, 1500)), board=device(emulation="QEMU runs it"))
    return _setting(recipe, ms, 0.975, outcome=outcome)


def test_emulated_rows_are_marked_and_show_no_figure_of_speed() -> None:
    document = report_document(
        stored(_emulated("fp32", 4.0), _emulated("int8-static", 2.0), row(Failed("x", "busy")))
    )
    assert [found.emulated for found in document.rows] == [True, True, None]
    assert report_document(stored(row())).rows[0].emulated is False
    assert document.rows[0].latency_ms is not None  # kept as data
    for shown in views(document.rows)[:2]:
        hidden = (shown.p50, shown.p90, shown.p99, shown.speedup, shown.memory, shown.energy)
        assert all(value.missing and "emulation" in value.why for value in hidden)
        assert not shown.file_size.missing and not shown.quality.missing
    for name in ("terminal", "markdown", "html"):
        told = re.sub(
            r"(?s)<style>.*?</style>|<section aria-labelledby=.method.*", "", render(document, name)
        )
        assert "emulated" in told
        assert not re.findall(r"[\d.]+ (?:ms|µs)\b|[\d.]+×|fastest|faster|class=.plot", told)


def test_emulated_rows_are_compared_with_nothing() -> None:
    a = specimens(report_document(stored(_emulated("fp32", 4.0))))[0]
    found = compare_rows(a, a)
    assert isinstance(found, Incomparable) and "A is emulated" in found.obstacles[0].sentence


# --- text and files ---------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_clean_text_obeys_nothing(text: str) -> None:
    found = clean(text)
    found.encode("utf-8")  # no lone surrogate
    assert not [c for c in found if unicodedata.category(c) == "Cc" or c in "\u202e\u2066\u2028\ufeff"]
    assert clean(found) == found


def test_terminal_sequences_go_whole() -> None:
    assert clean("a\x1b[31;1mred\x1b[0m \x1b]0;title\x07b\x1b]8;;http://x\x1b\\c\x9b2Jd\r\ne") == "ared bcd e"
    assert clean("x" * 9000).endswith("… (cut short)") and len(clean("x" * 9000)) <= 4000
    assert clean("user\u202etxt.exe") == "usertxt.exe"


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_no_device_text_breaks_the_document(text: str) -> None:
    hostile = replace(measured().device, board=text + HOSTILE, cpu_model=text)
    data = as_json(
        report_document(stored(row(measured(launch(range(900, 1000)), board=hostile), notes=(text,))))
    )
    assert "\x1b" not in json.dumps(data, ensure_ascii=False)


def test_a_report_file_is_read_back(tmp_path: Path) -> None:
    document = report_document(plan_run(launches=1, devices=("pi5",)))
    path = tmp_path / "deep" / "report.json"
    write(document, path, "json")
    assert load_document(path) == document
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"schema": "edgewright.report/2"}', '{"schema": "edgewright.report/1"}', "[" * 100_000],
)
def test_a_file_that_is_no_report_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_document(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = report_document(stored(row()))
    path = tmp_path / "report.csv"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match="cannot be written: No space left"):
        write(document, path, "csv")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match="did you mean 'html'"):
        render(document, "htlm")
