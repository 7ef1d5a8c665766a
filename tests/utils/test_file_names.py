"""Names of files from names that people gave: safe, distinct, and in their own script."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from satpipe.dataset.contact_sheet import draw_sheet
from satpipe.utils.file_names import MAX_BYTES, distinct_file_names, file_name


def test_letters_of_all_scripts_stay() -> None:
    classes = ["背景", "货船", "渔船", "Schiff ä", "Schiff ö", "no-ship"]
    assert distinct_file_names(classes, "class") == classes


def test_names_are_safe_also_where_case_does_not_count() -> None:
    names = distinct_file_names(
        ["a/b#1", "a_b_1", "A_B_1", "../../etc/passwd", "", "é", "e\u0301", "con", ".x"], "chip"
    )
    assert len({name.lower() for name in names}) == len(names)
    assert all("/" not in name and not name.startswith(".") for name in names)
    assert names[-2:] == ["con_", "x"]


def test_names_are_no_formulas_and_no_options() -> None:
    names = distinct_file_names(["=ship", "_=ship", "-rf", "@sum", "+1", "no-ship"], "class")
    assert names == ["_=ship", "_=ship~2", "_-rf", "_@sum", "_+1", "no-ship"]


@given(st.text())
def test_any_text_becomes_a_name_that_file_systems_take(text: str) -> None:
    name = file_name(text, "chip")
    assert 0 < len(name.encode()) <= MAX_BYTES + 2
    assert not name.startswith(("=", "+", "-", "@"))
    assert not set(name) & set('<>:"/\\|?*\0\n')
    assert name == name.strip(" .")


def test_titles_of_other_scripts_can_be_told_apart_on_a_sheet() -> None:
    group = np.zeros((8, 64, 64, 3), np.uint8)
    sheets = {draw_sheet([group], titles=[title]).tobytes() for title in ("货船", "渔船", "Schiff ä", "Schiff ö")}
    assert len(sheets) == 4
