#!/bin/sh
# Tell a chat how the run went. The address of its webhook is a secret: it comes from the
# environment (MARGIN_STRESS_WEBHOOK) and goes to curl by its stdin, where "ps" does not show it.
set -eu

python3 -c '
import json, os

verdicts = {
    "0": "every limit is kept",
    "3": "a limit is BREACHED",
    "4": "not resolved by this many paths",
    "5": "NOT RUN: an input is absent or too old",
    "75": "interrupted: what is done is kept",
}
told = {key: os.environ["MARGIN_STRESS_" + key] for key in ("NAME", "EXIT_CODE", "REPORT", "ERROR")}
verdict = verdicts.get(told["EXIT_CODE"], "FAILED with exit code " + told["EXIT_CODE"])
lines = [(told["NAME"] or "stress test") + ": " + verdict, told["ERROR"], told["REPORT"]]
text = "\n".join(line for line in lines if line)
print("url =", json.dumps(os.environ["MARGIN_STRESS_WEBHOOK"]))
print("data =", json.dumps(json.dumps({"text": text})))
' | curl --config - --fail --silent --show-error --max-time 20 --retry 1 --output /dev/null \
    --header "Content-Type: application/json"
