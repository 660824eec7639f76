"""The engine: what it compiles, it compiles once, whoever asks; what it answers is its own."""

from pathlib import Path

import ibis

from kubecost_pipelines.lake import engine, open_engine


def test_two_engines_that_are_asked_the_same_compile_it_once_and_answer_from_their_own_rows(tmp_path: Path) -> None:
    answers, compiled = [], []
    for rows in (3, 5):
        with open_engine(f"{100 * rows}MB", tmp_path / str(rows)) as opened:
            opened.con.execute(f"CREATE TEMP TABLE numbers AS SELECT range AS number FROM range({rows})")
            before = engine._compile.cache_info().misses
            kept = opened.compute("kept", opened.table("numbers").mutate(double=ibis._.number * 2))
            answers.append(kept.double.sum().to_pyarrow().as_py())
            compiled.append(engine._compile.cache_info().misses - before)

    assert answers == [6, 20]  # 0 + 2 + 4, and 6 + 8 more
    assert compiled == [2, 0]


def test_a_table_that_has_the_same_name_and_other_columns_is_compiled_anew(tmp_path: Path) -> None:
    found = []
    for column in ("cost", "hours"):
        with open_engine("100MB", tmp_path / column) as opened:
            opened.con.execute(f"CREATE TEMP TABLE made AS SELECT 7 AS {column}")
            found.append(opened.table("made").to_pyarrow().to_pylist())

    assert found == [[{"cost": 7}], [{"hours": 7}]]
