#!/usr/bin/env bash
# Scores an adapter on a suite, with its base and what it is held against, and lets a policy decide: 0 pass, 3 rejected,
# 4 inconclusive, 2 no verdict. Both the GitHub action and the GitLab template run this, from the directory of the runs.
#   ADAPTER  run directory, or an adapter of another tool (PEFT's files), which is adopted first
#   BASE     directory or hub repository of the base; needed for another tool's adapter
#   AGAINST  run directories it is held against, or `base`; empty where the policy needs none
#   SUITE    suite file or name; POLICY: policy file; DATA: data directory, where the suite needs one
#   JUDGE_KEY_FILE  file with the API key of the suite's judge, where it wants one
#   PYTHON   interpreter with echo-lora (python)
set -euo pipefail
: "${ADAPTER:?name the adapter}" "${SUITE:?name the suite}" "${POLICY:?name the policy}"
python=${PYTHON:-python}
run=$ADAPTER
read -ra against <<<"${AGAINST:-}"

if [ ! -f "$run/adapter/manifest.json" ] && [ -f "$run/adapter_config.json" ]; then
  # Under a hash of its bytes: what an earlier push left here is another adapter.
  runs=runs/$(cat "$ADAPTER"/adapter_* | sha256sum | cut -c1-16)
  run=$runs/$(basename "$ADAPTER")
  [ -f "$run/adapter/manifest.json" ] || "$python" -m trainer adopt "$ADAPTER" --base "${BASE:?an adapter of another tool needs its base}" --name "$(basename "$ADAPTER")" --runs "$runs"
fi
echo "$run" > gate-run.txt

scored=("$run")
for one in "${against[@]}"; do [ "$one" = base ] || scored+=("$one"); done
"$python" -m evaluator "${scored[@]}" --suite "$SUITE" ${DATA:+--data "$DATA"} ${BASE:+--base "$BASE"} ${JUDGE_KEY_FILE:+--judge-key-file "$JUDGE_KEY_FILE"}
"$python" -m evaluator gate "$run" --policy "$POLICY" ${against[@]+--against "${against[@]}"}
