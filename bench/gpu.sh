#!/usr/bin/env bash
# Every figure that wants a CUDA device, in one go and in about six minutes, on a machine without a network:
#   OUT=/some/folder bench/gpu.sh [WHEELS_FOLDER]
# Wheels that the machine lacks are installed from WHEELS_FOLDER (default: .whl beside the repository's files) into a
# folder of their own; beside torch, numpy, scipy, pillow, safetensors, httpx, prometheus-client and pytest these are
#   transformers pycocotools cachetools starlette uvicorn pydantic pydantic-core annotated-types typing-inspection
#   typing-extensions
# in constraints.txt's versions. Each step has its own time limit and leaves its JSON in $OUT (its output in
# $OUT/log.txt) before the next begins, so that a cut keeps what came before. Steps that lack packages are named.
# STEPS="train mine" runs those alone (for the full size after `weights`); MODEL=demo DEVICE=cpu tries
# the script itself where there is no GPU.
set -u
cd "$(dirname "$0")/.."
OUT=${OUT:-var/gpu}
WHEELS=${1:-.whl}
STEPS=${STEPS:-tests train click mine compiled}
MODEL=${MODEL:-full}
DEVICE=${DEVICE:-cuda}
LIMIT_S=${LIMIT_S:-345}
export ROOST_TEST_CACHE=${ROOST_TEST_CACHE:-/tmp/roost-gpu} PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH}
mkdir -p "$OUT" "$ROOST_TEST_CACHE"
BEGAN=$SECONDS

# The first Python that has torch, whatever its version; Roost itself asks for 3.11.
choose_python() {
  for candidate in ${PYTHON:-} .venv/bin/python python3.11 python3 python; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys, torch; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then command -v "$candidate"; return; fi
  done
}

# name, seconds, command: no step begins without time left, and none takes longer than its share or what is left.
step() {
  local name=$1 seconds=$2 left=$((LIMIT_S - SECONDS + BEGAN)) from=$SECONDS rc
  shift 2
  if [ "$left" -lt 15 ]; then echo "== $name: left out, $left s of $LIMIT_S are left" | tee -a "$OUT/summary.txt"; return 1; fi
  [ "$seconds" -gt "$left" ] && seconds=$left
  echo "== $name (at most $seconds s)"
  echo "== $name" >>"$OUT/log.txt"
  timeout -k 5 "$seconds" "$@" >>"$OUT/log.txt" 2>&1
  rc=$?
  tail -n 12 "$OUT/log.txt"
  cp bench/results/*-gpu*.json "$OUT/" 2>/dev/null
  echo "== $name: exit $rc after $((SECONDS - from)) s$([ $rc = 124 ] && echo ', cut at its limit')" | tee -a "$OUT/summary.txt"
  return $rc
}

wanted() { case " $STEPS " in *" $1 "*) return 0 ;; *) return 1 ;; esac }

# Modules that are not there, in words; empty when all are.
missing() {
  "$PY" - "$@" <<'PYTHON'
import importlib.util
import sys

print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])
PYTHON
}

rm -f "$OUT/summary.txt" "$OUT/log.txt"
PY=$(choose_python)
if [ -z "$PY" ]; then echo "no Python from 3.11 on with torch is here: name one in PYTHON" | tee "$OUT/summary.txt"; exit 1; fi
if compgen -G "$WHEELS/*.whl" >/dev/null; then
  "$PY" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$ROOST_TEST_CACHE/site" "$WHEELS"/*.whl \
    || echo "the wheels in $WHEELS could not be installed" | tee -a "$OUT/summary.txt"
  export PYTHONPATH="$PYTHONPATH:$ROOST_TEST_CACHE/site"
  # After "." and before the machine's own packages, so that the wheels' versions are the ones that count.
fi

{
  uname -srm; "$PY" --version; nproc; free -g | head -2; nvidia-smi || echo "nvidia-smi is not here"
  "$PY" -c 'import torch, transformers; print("torch", torch.__version__, "cuda", torch.version.cuda,
    torch.cuda.is_available(), "transformers", transformers.__version__)'
} 2>&1 | tee "$OUT/machine.txt"
LACKING=$(missing torch transformers safetensors numpy scipy PIL pycocotools cachetools httpx)
SERVER_LACKING=$(missing starlette uvicorn pydantic prometheus_client typing_extensions)
TESTS_LACKING=$(missing pytest)
if [ -n "$LACKING" ]; then
  echo "nothing can be measured: this Python lacks $LACKING. Bring wheels in $WHEELS." | tee -a "$OUT/summary.txt"; exit 1
fi
if [ "$DEVICE" = cuda ] && ! "$PY" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "torch sees no CUDA device" | tee -a "$OUT/summary.txt"; exit 1
fi

THREADS=$(nproc); [ "$THREADS" -gt 8 ] && THREADS=8
CLIENTS="1 8"
if [ -n "$SERVER_LACKING" ]; then
  echo "click is measured in process alone, tests are left out: $SERVER_LACKING missing" | tee -a "$OUT/summary.txt"; CLIENTS=""
fi

# The web side's conftest wants Django, which the backend's tests do not: --confcutdir stops above it.
if wanted tests && [ -z "$SERVER_LACKING$TESTS_LACKING" ]; then
  step tests 75 "$PY" -m pytest -m gpu tests/backend -p no:django -p no:cacheprovider --confcutdir=tests/backend -q \
    --ignore=tests/backend/test_label_studio_parts.py --ignore=tests/backend/test_label_studio_protocol.py \
    --ignore=tests/backend/test_label_studio_real.py --durations=6
elif [ -n "$TESTS_LACKING" ]; then
  echo "tests are left out: pytest is missing" | tee -a "$OUT/summary.txt"
fi

if [ "$MODEL" = full ]; then
  step weights 90 "$PY" -c 'from bench.serving import full_size_folder; print(full_size_folder())' || exit 1
fi
BASE=(--model "$MODEL" --device "$DEVICE" --threads "$THREADS")
wanted train && step train 100 "$PY" -m bench.train_step "${BASE[@]}" --steps 4 --name "train-step-$MODEL-gpu"
# shellcheck disable=SC2086
wanted click && step click 80 "$PY" -m bench.click "${BASE[@]}" --clicks 100 --encodes 10 --clients $CLIENTS --pause 0.2 \
  --name "click-$MODEL-gpu"
wanted mine && step mine 90 "$PY" -m bench.mine "${BASE[@]}" --images 16 --batch 1 8 --name "mine-$MODEL-gpu"
wanted compiled && step compiled 110 "$PY" -m bench.mine "${BASE[@]}" --images 16 --batch 8 --concepts 1 --compile \
  --name "mine-$MODEL-gpu-compiled"
echo "== all: $((SECONDS - BEGAN)) s"
cat "$OUT/summary.txt"
