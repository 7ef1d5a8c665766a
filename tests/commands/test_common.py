"""What commands share: tables that keep words whole on every terminal, and what a configuration lacks."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from satpipe.commands import main
from satpipe.commands._common import print_table

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
WORDS = st.text("abcdefghij-._", min_size=1, max_size=25)
CELLS = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data(), st.integers(24, 200), st.integers(1, 8))
def test_no_word_of_a_table_is_broken_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], data: st.DataObject, width: int, columns: int
) -> None:
    head = [f"column{number}" for number in range(columns)]
    rows = data.draw(st.lists(st.lists(CELLS, min_size=columns, max_size=columns), min_size=1, max_size=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORCE_COLOR", "1")
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", str(width))
        print_table(head, rows)
    printed = ESCAPE.sub("", capsys.readouterr().out)
    assert max(map(len, printed.splitlines())) <= width
    result = printed.split()
    words = [word for row in rows for cell in row for word in cell.split() if len(word) + 2 <= width]
    if max(map(len, words), default=0) + 12 <= width:
        assert all(result.count(word) >= words.count(word) for word in words)


def test_a_table_in_a_file_has_a_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["key", "value"], [["one", "word " * 100], ["two", "x"]])
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_valid_configuration_whose_files_are_not_there_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bay.yaml").write_text("ingest:\n  sources:\n    - {type: yolo, path: nowhere}\n", "utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["config", "validate", "--config", str(tmp_path / "bay.yaml")])
    said = capsys.readouterr().out
    assert not ended.value.code
    assert "valid" in said
    assert "but it cannot run yet: ingest.sources.0.path" in said
    assert "nowhere does not exist" in said
