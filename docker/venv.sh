#!/bin/sh
# Makes a virtual environment:  docker/venv.sh PYTHON DIR
# Debian and Ubuntu split venv's pip off into a package; as root that package is installed, otherwise named.
set -eu
python=$1 dir=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "venv: Python 3.11 or newer is needed, $python is $("$python" --version 2>&1); try: make PYTHON=python3.12 ..." >&2; exit 2; }
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
    [ "$(id -u)" = 0 ] || { echo "venv: $python lacks ensurepip; run: sudo apt-get install $package" >&2; exit 2; }
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$package" >/dev/null
fi
[ -x "$dir/bin/python" ] || "$python" -m venv "$dir"
