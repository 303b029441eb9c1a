#!/usr/bin/env bash
# Does training fit as planned? Under four minutes of a CUDA device, on a machine without a network:
#   OUT=/some/folder bench/gpu_fits.sh [WHEELS_FOLDER]
# Wheels as for bench/gpu.sh (starlette, uvicorn, pydantic and pytest are not needed; omegaconf and pyyaml are not
# either, since no config file is read). Random full-size weights; a plan and then real steps for each row of
# bench/fits.py; the file is written after each row, so that a cut keeps those before.
# MODEL=demo DEVICE=cpu tries the script itself where there is no GPU; ROWS='"heads" "heads in parts of 4"' picks rows.
set -u
cd "$(dirname "$0")/.."
OUT=${OUT:-var/gpu}
WHEELS=${1:-.whl}
MODEL=${MODEL:-full}
DEVICE=${DEVICE:-cuda}
LIMIT_S=${LIMIT_S:-230}
export ROOST_TEST_CACHE=${ROOST_TEST_CACHE:-/tmp/roost-gpu} PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH}
mkdir -p "$OUT" "$ROOST_TEST_CACHE"
BEGAN=$SECONDS

for candidate in ${PYTHON:-} .venv/bin/python python3.11 python3 python; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys, torch; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
  then PY=$(command -v "$candidate"); break; fi
done
if [ -z "${PY:-}" ]; then echo "no Python from 3.11 on with torch is here: name one in PYTHON"; exit 1; fi
if compgen -G "$WHEELS/*.whl" >/dev/null; then
  "$PY" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$ROOST_TEST_CACHE/site" "$WHEELS"/*.whl \
    || echo "the wheels in $WHEELS could not be installed"
  export PYTHONPATH="$PYTHONPATH:$ROOST_TEST_CACHE/site"
fi
{ nproc; free -g | head -2; nvidia-smi || echo "nvidia-smi is not here"; } >"$OUT/fits-machine.txt" 2>&1
if [ "$MODEL" = full ]; then
  timeout -k 5 90 "$PY" -c 'from bench.serving import full_size_folder; print(full_size_folder())' || exit 1
fi
THREADS=$(nproc); [ "$THREADS" -gt 8 ] && THREADS=8
ARGUMENTS=(--model "$MODEL" --device "$DEVICE" --threads "$THREADS" --name "fits-$MODEL-gpu")
if [ -n "${ROWS:-}" ]; then eval "ARGUMENTS+=(--rows $ROWS)"; fi
timeout -k 5 $((LIMIT_S - SECONDS + BEGAN)) "$PY" -m bench.fits "${ARGUMENTS[@]}" 2>&1 | tee "$OUT/fits-log.txt"
RC=${PIPESTATUS[0]}
cp bench/results/fits-*-gpu.json "$OUT/" 2>/dev/null
echo "== fits: exit $RC after $((SECONDS - BEGAN)) s$([ "$RC" = 124 ] && echo ', cut at its limit')"
exit "$RC"
