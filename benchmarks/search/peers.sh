#!/usr/bin/env bash
# Environments of their own for peers whose requirements do not fit this project's, and their runs.
#   benchmarks/search/peers.sh FOLDER [arguments of benchmarks.search, without --method]
# Syne Tune 0.16: MOASHA as shipped, and with ranks where ranks are read.
set -euo pipefail
folder=${1:?usage: benchmarks/search/peers.sh FOLDER [--problem P --workers W --seeds N --out FILE]}
shift
cd "$(dirname "$0")/../.."
if [ ! -e "$folder/syne-tune/ready" ]; then
    "${PYTHON:-python3.11}" -m venv "$folder/syne-tune"
    "$folder/syne-tune/bin/pip" install --quiet --no-input --disable-pip-version-check \
        syne-tune==0.16 pydantic==2.14.3 moocore==0.3.2 scikit-learn==1.9.1 scipy pyyaml packaging
    touch "$folder/syne-tune/ready"
fi
for method in moasha moasha-shipped; do
    PYTHONPATH=$PWD "$folder/syne-tune/bin/python" -W ignore -m benchmarks.search --method "$method" "$@"
done
