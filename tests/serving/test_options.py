"""Options that reach vLLM, and where copies are kept."""

from pathlib import Path

from serving.options import ServeOptions, cache_directory


def test_a_passed_on_option_is_found_by_its_whole_name():
    options = ServeOptions(runs=(), vllm_arguments=("--max-num-seqs=16", "--max-model-len=2048"))
    assert options.passed_on("--max-model-len") == "2048"
    assert options.passed_on("--max-num") is None


def test_the_cache_follows_the_users_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "echo-lora"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == Path.home() / ".cache" / "echo-lora"
