#!/usr/bin/env bash
# The first day on a machine with a GPU: tests, benches, the 8B shapes, a trained run, and vLLM's proof that an adapter costs
# nothing more; every step's command, exit code, seconds and result in one JSON document.
#
#   docker/gpu_first_day.sh [--out DIR] [--only STEP[,STEP]]     runs all steps, or these
#   docker/gpu_first_day.sh --dry-run                            writes the document with the commands alone
#
# A step that fails stops none after it. Run it from an environment of `make setup ACCEL=cuda`; PYTHON names another.
set -uo pipefail
cd "$(dirname "$0")/.."
out=runs/gpu_first_day only= dry=
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$2; shift 2 ;;
        --only) only=$2; shift 2 ;;
        --dry-run) dry=1; shift ;;
        *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
python=${PYTHON:-.venv/bin/python}
mkdir -p "$out/logs" && : >"$out/steps.tsv" || exit 2

# step NAME RESULT COMMAND...: RESULT is the JSON that the command writes, or -
step() {
    local name=$1 result=$2 started=$SECONDS code=-
    shift 2
    [ -z "$only" ] || [[ ",$only," == *",$name,"* ]] || return 0
    printf '== %s: %s\n' "$name" "$*" >&2
    [ -n "$dry" ] || { "$@" >"$out/logs/$name.log" 2>&1; code=$?; [ "$code" = 0 ] || echo "   exit $code, see $out/logs/$name.log" >&2; }
    printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$code" $((SECONDS - started)) "$result" "$*" >>"$out/steps.tsv"
}

step machine - nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
step torch_sees_it - "$python" -c "import torch; assert torch.cuda.is_available(), torch.__version__; print(torch.cuda.get_device_name())"
step tests - "$python" -m pytest -m "not vllm and not containers" -q
step tests_of_vllm - "$python" -m pytest -m vllm -q
step plan_8b - "$python" -m trainer plan configs/llama3_8b_commonsense.yaml
step roofline_4096 - "$python" -m trainer bench configs/bench/llama3_8b_4096.yaml --roofline
step roofline_commonsense - "$python" -m trainer bench configs/bench/llama3_8b_commonsense.yaml --roofline
step bench_86m "$out/bench_86m/bench.json" "$python" -m trainer bench --out "$out/bench_86m"
step bench_8b_4096 "$out/bench_8b_4096/bench.json" "$python" -m trainer bench configs/bench/llama3_8b_4096.yaml --out "$out/bench_8b_4096"
step bench_8b_commonsense "$out/bench_8b_commonsense/bench.json" "$python" -m trainer bench configs/bench/llama3_8b_commonsense.yaml --out "$out/bench_8b_commonsense"
step train_echo_lora "$out/runs/quickstart-echo_lora/adapter/manifest.json" "$python" -m trainer configs/quickstart.yaml --method echo_lora --runs "$out/runs"
step train_lora "$out/runs/quickstart-lora/adapter/manifest.json" "$python" -m trainer configs/quickstart.yaml --method lora --runs "$out/runs"
step backends_agree - "$python" -m evaluator agree "$out/runs/quickstart-echo_lora" --suite quickstart --fresh
step serving_overhead "$out/overhead.json" "$python" -m serving bench "$out/runs/quickstart-echo_lora" --against "$out/runs/quickstart-lora" --output "$out/overhead.json"

exec "$python" - "$out" "$(git rev-parse HEAD 2>/dev/null || echo unknown)" <<'PY'
import json, platform, sys
from pathlib import Path

out, commit = Path(sys.argv[1]), sys.argv[2]
steps = []
for line in (out / "steps.tsv").read_text().splitlines():
    name, code, seconds, result, command = line.split("\t")
    written, log = Path(result), out / "logs" / f"{name}.log"
    ran = code != "-"
    steps.append({
        "name": name, "command": command, "exit_code": int(code) if ran else None, "seconds": int(seconds) if ran else None,
        "result": json.loads(written.read_text()) if ran and result != "-" and written.is_file() else None,
        "last_words": log.read_text(errors="replace").splitlines()[-40:] if ran and log.is_file() else [],
    })
document = {"schema_version": "1", "commit": commit, "host": platform.platform(), "steps": steps}
(out / "first_day.json").write_text(json.dumps(document, indent=1) + "\n")
print(out / "first_day.json")
sys.exit(any(step["exit_code"] for step in steps))
PY
