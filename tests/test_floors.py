"""Libraries with known holes are refused before they read anything, with the command that mends it."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib

import pytest

from tests.source import ROOT
from tunesmith import floors
from tunesmith.errors import SpecError

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ASKED = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]


@pytest.mark.parametrize("name", floors.FLOORS)
def test_what_is_installed_passes_and_what_is_older_does_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    floors.require(name)
    monkeypatch.setattr(floors, "installed", lambda: {name: "0.0.9"})
    with pytest.raises(SpecError) as caught:
        floors.require(name)
    assert caught.value.code == "old-package" and caught.value.exit_code == 2
    assert str(caught.value).endswith(f"got 0.0.9; pip install --upgrade '{name}>={floors.FLOORS[name]}'")


@pytest.mark.parametrize("name", floors.FLOORS)
def test_a_fresh_install_is_never_refused(name: str) -> None:
    (wanted,) = {one for one in ASKED if re.match(rf"{name}\b", one)}
    lowest = re.search(r"(>=?)([\d.]+)", wanted)
    assert lowest is not None
    assert floors._key(lowest[2]) >= floors._key(floors.FLOORS[name]) or lowest[1] == ">", wanted


@pytest.mark.parametrize(
    ("lower", "higher"),
    [("2.9.1", "2.10"), ("2.10", "2.11.0+cpu"), ("5.3.0rc1", "5.3.0"), ("12.2", "12.3.0"), ("1.14.0", "1.14.1"), ("5.3.0.dev0", "5.3")],
)
def test_versions_are_compared_as_numbers(lower: str, higher: str) -> None:
    assert floors._key(lower) < floors._key(higher)


def test_an_absent_library_is_told_by_its_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "installed", dict)
    floors.require(*floors.FLOORS)


def test_versions_are_those_of_the_metadata() -> None:
    found = floors.installed()
    assert {name: importlib.metadata.version(name) for name in floors.FLOORS} == {name: found[name] for name in floors.FLOORS}
