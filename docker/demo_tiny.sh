#!/usr/bin/env bash
# The whole road on the tiny base, which needs no download: train Echo-LoRA and plain LoRA, score both and their base, gate,
# serve, ask, report. Run it through `make demo-tiny`. PORT picks the endpoint's port.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-8000}
echo_run=runs/quickstart-echo_lora lora_run=runs/quickstart-lora
. docker/demo_steps.sh

say "1/6 train Echo-LoRA, and plain LoRA as the baseline"
python -m trainer configs/quickstart.yaml --method echo_lora
python -m trainer configs/quickstart.yaml --method lora

say "2/6 score both adapters and their base on test items"
python -m evaluator "$echo_run" "$lora_run" --suite quickstart

say "3/6 gate: is Echo-LoRA fit to ship?"
verdict=0
python -m evaluator gate "$echo_run" --against "$lora_run" --policy configs/policies/quickstart.yaml || verdict=$?
if [ "$verdict" -ne 0 ]; then
    python -m evaluator report "$echo_run" "$lora_run"
    echo "The gate did not pass the adapter (exit $verdict), so it is not served."
    exit "$verdict"
fi

say "4/6 serve the adapter with vLLM (a minute or two until it is attested)"
serve "$echo_run" "$port"

say "5/6 ask it, through the official openai client"
answer=$(python - "$port" <<'PY'
import json, sys
from openai import OpenAI
from schemas.prompt import COMMONSENSE_170K

item = json.load(open("configs/quickstart/tasks/ARC-Easy/test.json"))[0]
client = OpenAI(base_url=f"http://127.0.0.1:{sys.argv[1]}/v1", api_key="none")
reply = client.completions.create(
    model="quickstart-echo_lora", prompt=COMMONSENSE_170K.evaluation_prompt(item["instruction"]), max_tokens=16, temperature=0
)
print(f"asked:    {item['instruction']}\nanswered: {reply.choices[0].text.strip()}\nexpected: {item['output']}")
PY
)
stop_server

say "6/6 the results"
python -m evaluator report "$echo_run" "$lora_run"
python -m evaluator compare "$echo_run" "$lora_run" --suite quickstart
printf '\n%s\n\nattestation: %s\nserve it:    .venv/bin/python -m serving %s\npage:        %s\n' \
    "$answer" "$echo_run/attestation.json" "$echo_run" "$PWD/$echo_run/report.html"
