# What both demos share (sourced): headings with the seconds so far, and a server that is waited for and stopped.
started=$SECONDS
say() { printf '\n\033[1m== %s\033[0m  (%d s)\n' "$1" $((SECONDS - started)); }

server=
stop_server() { if [ -n "$server" ]; then kill -TERM "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; server=; fi; }
trap stop_server EXIT

# serve RUN PORT: starts the server and returns when it is attested; a dot every two seconds, its log beside the run.
serve() {
    python -m serving "$1" --port "$2" >"$1/serving.log" 2>&1 &
    server=$!
    until is_ready "$2"; do
        kill -0 "$server" 2>/dev/null || { server=; echo; tail -n 20 "$1/serving.log"; echo "the server stopped; its log: $1/serving.log" >&2; exit 1; }
        printf '.'
        sleep 2
    done
    printf ' ready\n'
}

is_ready() {
    python - "$1" <<'PY'
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/ready", timeout=5)
except (urllib.error.URLError, OSError):
    sys.exit(1)
PY
}
