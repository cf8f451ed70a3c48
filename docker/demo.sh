#!/usr/bin/env bash
# The whole road on a real language model: customers' messages into JSON. What the base can do, LoRA and Echo-LoRA, the gate,
# vLLM, three questions, the page. Run it through `make demo`. Where neither hub nor package index gives the base, it says so
# and runs the tiny one.
#
# PORT picks the endpoint's port; DEMO_STEPS, DEMO_ITEMS and DEMO_POLICY shorten it, for .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-8000} items=${DEMO_ITEMS:-100} policy=${DEMO_POLICY:-configs/policies/demo.yaml}
base=bases/smollm2-135m messages=runs/demo-messages echo_run=runs/demo-echo_lora lora_run=runs/demo-lora
. docker/demo_steps.sh
shorter=${DEMO_STEPS:+--training.max_steps $DEMO_STEPS}
# shellcheck disable=SC2086  # empty, or an option and its value
train() { python -m trainer configs/demo/messages.yaml --method "$1" $shorter; }
score() { python -m evaluator "$@" --data "$messages" --limit "$items"; }

say "1/7 a real Llama of 135 million parameters, and messages of customers, made by a recipe"
python -m trainer import-base smollm2-135m "$base" || {
    code=$?
    [ "$code" -eq 2 ] || exit "$code"
    printf '\nThe base cannot be had here (above): this is the tiny demo instead, on a model that is in the repository.\n'
    exec docker/demo_tiny.sh
}
[ -f "$messages/test.jsonl" ] || python -m studies make-messages "$messages"

say "2/7 what the base can do: asked plainly, and with three examples in the prompt"
score "$base" --base-only --suite configs/demo/suite.yaml
items=$((items < 40 ? items : 40)) score "$base" --base-only --suite configs/demo/three_examples.yaml

say "3/7 train LoRA and Echo-LoRA"
train lora
train echo_lora

say "4/7 score both on messages whose wordings, products and dates they have not seen"
score "$lora_run" "$echo_run" --suite configs/demo/suite.yaml
score "$lora_run" "$echo_run" --suite configs/demo/fields.yaml

say "5/7 gate: is Echo-LoRA fit to ship?"
verdict=0
python -m evaluator gate "$echo_run" --policy "$policy" || verdict=$?
if [ "$verdict" -ne 0 ]; then
    python -m evaluator report "$echo_run" "$lora_run"
    echo "The gate did not pass the adapter (exit $verdict), so it is not served."
    exit "$verdict"
fi

say "6/7 serve it with vLLM; a minute or two until it is attested"
serve "$echo_run" "$port"
python docker/demo_ask.py "http://127.0.0.1:$port/v1" "$(basename "$echo_run")" | tee "$echo_run/asked.txt"
stop_server

say "7/7 the results"
python -m evaluator report "$echo_run" "$lora_run"
python -m evaluator compare "$echo_run" "$lora_run" --suite messages messages_fields
printf '\nattestation: %s\nserve it:    .venv/bin/python -m serving %s\npage:        %s\n' \
    "$echo_run/attestation.json" "$echo_run" "$PWD/$echo_run/report.html"
