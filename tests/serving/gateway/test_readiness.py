"""Ready is only a fresh word that everything holds; anything else is not."""

import json

from serving.gateway.readiness import ReadinessFile


def test_it_starts_closed_and_opens_on_ready(tmp_path):
    file = ReadinessFile(tmp_path / "readiness.json")
    file.write("starting", "not attested yet")
    assert not file.read().is_ready()
    file.write("ready", "attested: a", models=("a",))
    assert file.read().is_ready()
    assert file.read().models == ("a",)


def test_a_reader_in_another_process_sees_each_change(tmp_path):
    writer, reader = (ReadinessFile(tmp_path / "readiness.json") for _ in range(2))
    for state in ("ready", "unhealthy", "ready", "draining"):
        writer.write(state, "why")
        assert reader.read().state == state


def test_a_word_that_is_too_old_no_longer_counts(tmp_path):
    file = ReadinessFile(tmp_path / "readiness.json")
    file.write("ready", "attested", stale_after=600)
    assert file.read().is_ready()
    file.write("ready", "attested", stale_after=0)
    assert not file.read().is_ready()


def test_a_missing_or_broken_file_is_unhealthy(tmp_path):
    file = ReadinessFile(tmp_path / "readiness.json")
    assert not file.read().is_ready()
    for text in ("", "{", json.dumps({"state": "open"})):
        file.path.write_text(text)
        assert not file.read().is_ready()
