"""What is kept of a bill while it is read."""

from ibis.backends.duckdb import Backend

from kubecost_pipelines.clouds.keeping import keep


def test_repeated_texts_read_as_they_are(engine: Backend) -> None:
    engine.con.execute("CREATE TEMP TABLE told (few VARCHAR, nothing VARCHAR, number BIGINT)")
    engine.con.execute("INSERT INTO told VALUES ('it''s', NULL, 1), ('', NULL, 2), (NULL, NULL, 3)")

    kept = keep(engine, "kept", engine.table("told"), is_repeated=True)

    assert kept.schema() == engine.table("told").schema()
    assert engine.con.execute(f"SELECT typeof(few) FROM {kept.get_name()}").fetchall()[0] != ("VARCHAR",)
    assert kept.order_by("number").to_pyarrow().to_pydict() == {
        "few": ["it's", "", None],
        "nothing": [None] * 3,
        "number": [1, 2, 3],
    }
