"""What is kept of a long training: a bounded number of pictures or sounds, the first and the last among them."""

from __future__ import annotations

from pathlib import Path

from tunesmith.training.loop import MOST_SHEETS, keep_sheet


def test_of_many_sheets_the_first_and_the_last_stay_and_the_rest_is_spread(tmp_path: Path) -> None:
    names = [f"{step:08d}-tune" for step in range(300)]
    for name in names:
        keep_sheet(tmp_path / "samples", name, b"RIFF of a sound" if name.endswith("0-tune") else b"a picture")
        kept = sorted(path.stem for path in (tmp_path / "samples").iterdir())
        assert kept[0] == names[0] and kept[-1] == name and len(kept) <= MOST_SHEETS
    steps = [int(name[:8]) for name in kept]
    gaps = [after - before for before, after in zip(steps, steps[1:])]
    assert len(kept) == MOST_SHEETS and max(gaps) <= 2 * 300 / MOST_SHEETS
    assert {path.suffix for path in (tmp_path / "samples").iterdir()} == {".png", ".wav"}
