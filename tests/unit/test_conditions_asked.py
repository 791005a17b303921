"""What a user may ask to be set on a device, and how a report tells what became of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import fakes

from edgewright.cli.options import option_name
from edgewright.cli.phases import phase_text
from edgewright.errors import ConfigError
from edgewright.farm.conditions import conditions_from, either
from edgewright.farm.plan import conditions_of, load_plan
from edgewright.report import report_document
from edgewright.report.held import held
from edgewright_agent.protocol import Conditions, Cooling, HeldConditions, RunResult, Setting, decode, encode


def asked(
    governor: str | None = None, power_mode: str | None = None, cool_to: str | None = None
) -> Conditions:
    return conditions_from(governor, power_mode, cool_to, option_name)


class TestAsked:
    def test_nothing(self) -> None:
        assert asked() == Conditions()
        assert Conditions().longest_s == 0

    @pytest.mark.parametrize("text", ["50C", "50", "50.0C", "50 C", "50°C", " 50 °C "])
    def test_temperatures_as_people_write_them(self, text: str) -> None:
        assert asked(cool_to=text).cool_to_mc == 50_000

    @pytest.mark.parametrize(
        "text", ["", "hot", "50F", "50 °", "9.9C", "110.1", "-5C", "1e2", "5０C", "50CC", "nan"]
    )
    def test_other_temperatures_are_one_line(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"^--cool-to is .*such as 50C"):
            asked(cool_to=text)

    @pytest.mark.parametrize("name", ["", "Performance", "a b", "x" * 16, "../x", "performance\n", "perf;rm"])
    def test_what_cannot_be_a_governor(self, name: str) -> None:
        with pytest.raises(ConfigError, match="--set-governor"):
            asked(governor=name)

    @pytest.mark.parametrize("name", ["", "-m", "25W 1", "x" * 65, "a/b", "25W\n", "$(id)"])
    def test_what_cannot_be_a_power_mode(self, name: str) -> None:
        with pytest.raises(ConfigError, match="--power-mode"):
            asked(power_mode=name)

    def test_names_of_boards(self) -> None:
        for name in (
            "MAXN",
            "MAXN_SUPER",
            "15W",
            "MODE_30W_ALL",
            "15W_2CORE",
            "low-power",
            "MODE_10W_DESKTOP",
        ):
            assert asked(power_mode=name).power_mode == name

    @given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
    def test_any_text_is_taken_or_refused(self, governor: str, mode: str, cool_to: str) -> None:
        try:
            found = asked(governor, mode, cool_to)
        except ConfigError:
            return
        assert decode(Conditions, encode(found)) == found

    @pytest.mark.parametrize(
        "line", ['cool_to = "hot"', 'set_governor = "a b"', 'power_mode = ""', "cool_to = 50"]
    )
    def test_a_plan_names_its_key(self, line: str, tmp_path: Path) -> None:
        path = tmp_path / "plan.toml"
        path.write_text(f'[plan]\nname = "p"\nworkloads = ["m.onnx"]\n{line}\n')
        with pytest.raises(ConfigError, match=rf"plan\.{line.split()[0]}"):
            conditions_of(load_plan(path))

    def test_an_option_goes_before_the_plan(self) -> None:
        plan = asked("performance", "15W", "60C")
        assert either(asked(), plan) == plan
        assert either(asked("powersave", cool_to="50C"), plan) == asked("powersave", "15W", "50C")

    def test_cooling_takes_time_that_the_host_grants(self) -> None:
        assert asked(cool_to="50C").longest_s == 600
        assert asked("performance", cool_to="50C").longest_s > 600


def test_a_person_sees_how_warm_it_is() -> None:
    event = {"event": "progress", "celsius": 61.25, "to_celsius": 50.0}
    assert phase_text(event) == "cooling down: 61.2 °C, 50 °C is wanted"
    assert phase_text({**event, "celsius": "\x1b[31m"}) == ""
    assert phase_text({"event": "phase", "name": "cooling"}) == "cooling down"


SET = Setting("governor of cpu0", "schedutil", "performance")
COOLED = Cooling(50_000, "cpu-thermal", 61_000, 50_000, 42.0)


def launch(*settings: Setting, cooling: Cooling | None = None, notes: tuple[str, ...] = ()) -> RunResult:
    return replace(fakes.launch(), conditions=HeldConditions(settings, cooling, notes))


class TestTold:
    def test_nothing_asked_nothing_said(self) -> None:
        assert held([fakes.launch()]) == []

    def test_alike_in_all_launches_it_is_said_once(self) -> None:
        other = replace(SET, what="governor of cpu4")
        assert held([launch(SET, other), launch(SET, other)]) == [
            "governor of cpu0, cpu4: set from schedutil to performance for each launch, and set back after it"
        ]

    def test_what_was_so_already(self) -> None:
        assert held([launch(replace(SET, before="performance"))]) == [
            "governor of cpu0: was performance already"
        ]

    def test_what_was_not_set_back_is_shouted(self) -> None:
        first, second = held([launch(SET), launch(replace(SET, problem="no permission"))])
        assert "where not said otherwise" in first
        assert second == (
            "launch 2: governor of cpu0 was NOT set back from performance to schedutil: no permission"
        )

    def test_of_many_problems_some_are_counted(self) -> None:
        said = held([launch(replace(SET, problem="no"))] * 10)
        assert len(said) == 5 and said[-1] == "and 7 more were not set back"

    def test_cooling(self) -> None:
        (said,) = held([launch(cooling=COOLED), launch(cooling=replace(COOLED, waited_s=3.0))])
        assert said == "cooled to 50 °C (cpu-thermal) before 2 of 2 launches, waiting 3 to 42 s"

    def test_cooling_that_was_given_up(self) -> None:
        warm = replace(COOLED, last_mc=55_400, given_up="600 s were over")
        first, second = held([launch(cooling=COOLED), launch(cooling=warm)])
        assert "before 1 of 2 launches" in first
        assert second == "launch 2 began at 55.4 °C: cooling was given up, 600 s were over"

    def test_a_device_that_tells_without_end_is_cut_short(self) -> None:
        many = tuple(replace(SET, what=f"thing {n}", problem="no") for n in range(100_000))
        said = held([launch(*many, notes=tuple(map(str, range(100_000))))] * 2)
        assert len(said) < 100

    def test_they_are_among_the_row_s_notes_and_harmless(self) -> None:
        hostile = launch(replace(SET, before=fakes.HOSTILE), notes=(fakes.HOSTILE,))
        document = report_document(fakes.stored(fakes.row(fakes.measured(hostile))))
        notes = document.rows[0].notes
        assert any("set from" in note for note in notes)
        assert not any("\x1b" in note or "\n" in note for note in notes)
