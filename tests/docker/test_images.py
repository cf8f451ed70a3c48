"""The built images: what is in them, what is not, and that they run confined. `docker compose --profile studies build` makes them."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.containers
STAGES = {
    "trainer": ["torch", "transformers", "peft", "accelerate", "datasets", "trainer", "schemas"],
    "evaluator": ["lm_eval", "torch", "peft", "scipy", "openai", "docker", "evaluator", "schemas"],
    "serving": ["vllm", "torch", "peft", "openai", "httpx", "serving", "schemas"],
    "studies": ["torch", "lm_eval", "scipy", "jinja2", "trainer", "evaluator", "studies", "schemas"],
}
CONFIGS = {
    "trainer": {"architectures", "bench", "quickstart"},
    "evaluator": {"policies", "quickstart"},
    "serving": {"quickstart"},
    "studies": {"architectures", "bench", "quickstart", "studies"},
}
CONFINED = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "tmpfs": {"/tmp": "size=1g,mode=1777,exec"},
    "network_mode": "none",
    "remove": True,
}


@pytest.fixture(scope="module")
def run(engine):
    def run_python(stage, program):
        image = f"echo-lora/{stage}:cpu"
        if not engine.images.list(image):
            if os.environ.get("REQUIRE_ENGINE"):
                pytest.fail(f"{image} is not built")
            pytest.skip(f"{image} is not built: docker compose build")
        return engine.containers.run(image, ["-c", program], entrypoint="python", **CONFINED).decode().strip()

    return run_python


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_what_it_needs_as_an_unprivileged_user_on_a_read_only_root(stage, run):
    names = ", ".join(STAGES[stage])
    program = f"import {names}, os; print(os.getuid(), os.access('/app', os.W_OK), os.stat('/app/runs').st_uid)"  # new volumes take this owner
    assert run(stage, program).splitlines()[-1] == "10001 False 10001"


@pytest.mark.parametrize(
    ("stage", "absent"), [("trainer", "vllm"), ("evaluator", "vllm"), ("serving", "lm_eval"), ("studies", "vllm")]
)
def test_a_stage_holds_no_other_stages_weight(stage, absent, run):
    others = [other for other in STAGES if other not in STAGES[stage]]
    program = f"import importlib.util as u; print([n for n in {[absent, 'uv', *others]} if u.find_spec(n)])"
    assert run(stage, program) == "[]"


@pytest.mark.parametrize("stage", STAGES)
def test_no_package_cache_and_no_secret_is_left_in_an_image(stage, run):
    program = (
        "import glob, os; kept = [d for d in ('/cache', '/tmp', *glob.glob('/*/.cache')) if os.access(d, os.R_OK) and os.listdir(d)];"
        "print(kept, [k for k in os.environ if 'TOKEN' in k and k != 'HF_TOKEN_PATH' or 'KEY' in k])"
    )
    assert run(stage, program) == "[] []"


@pytest.mark.parametrize("stage", CONFIGS)
def test_an_image_holds_the_configs_that_it_runs_and_no_results(stage, run):
    program = (
        "from pathlib import Path; here = Path('configs');"
        "print(sorted(p.name for p in here.iterdir() if p.is_dir()), [p for p in here.rglob('*') if 'results' in p.parts])"
    )
    assert run(stage, program) == f"{sorted(CONFIGS[stage])} []"


@pytest.mark.parametrize(("stage", "limit"), [("trainer", 1.7), ("evaluator", 2.0), ("serving", 2.9), ("studies", 2.0)])
def test_an_image_stays_small(stage, limit, engine, run):
    """Gigabytes on top of the base image, which is the machine's choice."""
    run(stage, "")
    history = engine.images.get(f"echo-lora/{stage}:cpu").history()
    ours = [layer["Size"] for layer in history if "buildkit" in (layer.get("Comment") or "")]
    assert 0.5e9 < sum(ours) < limit * 1e9
