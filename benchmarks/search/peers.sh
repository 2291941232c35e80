#!/usr/bin/env bash
# Environments of their own for peers whose requirements do not fit this project's, and their runs.
#   benchmarks/search/peers.sh FOLDER METHOD [arguments of benchmarks.search]
# METHOD: moasha, moasha-shipped (Syne Tune 0.16), or primo (neural-pipeline-search 0.17).
set -euo pipefail
usage="usage: benchmarks/search/peers.sh FOLDER moasha|moasha-shipped|primo [--problem P --workers W --seeds N --out FILE]"
[ $# -ge 2 ] || { echo "$usage" >&2 && exit 2; }
folder=$1 method=$2
shift 2
case "$method" in
    moasha | moasha-shipped) peer=syne-tune packages=(syne-tune==0.16 pydantic==2.14.3 moocore==0.3.2 scikit-learn==1.9.1 scipy pyyaml packaging safetensors filelock pillow) ;;
    primo) peer=neps packages=(neural-pipeline-search==0.17.0 pydantic==2.14.3 moocore==0.3.2 scikit-learn==1.9.1 pyyaml safetensors filelock pillow) ;;
    *) echo "$usage" >&2 && exit 2 ;;
esac
cd "$(dirname "$0")/../.."
if [ ! -e "$folder/$peer/ready" ]; then
    "${PYTHON:-python3.11}" -m venv "$folder/$peer"
    "$folder/$peer/bin/pip" install --quiet --no-input --disable-pip-version-check "${packages[@]}"
    touch "$folder/$peer/ready"
fi
PYTHONPATH=$PWD exec "$folder/$peer/bin/python" -W ignore -m benchmarks.search --method "$method" "$@"
