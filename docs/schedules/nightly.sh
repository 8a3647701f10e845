#!/bin/sh
# Tonight's stress test: import prices and book, run every scenario on them, tell somebody.
# Works in the folder that it lies in and ends as "margin-stress run" does.
set -u
cd "$(dirname "$0")" || exit 2
PATH=$PWD/.venv/bin:$PATH

night=$(date -u +%F)
book=books/$night

# Once a night: a run that is started again must find the input that it began with.
# What fails here leaves yesterday's prices, or no book: max_age and the run refuse them.
if [ ! -e "$book/book.toml" ]; then
    margin-stress import prices --exchange binance --assets BTC,ETH,SOL -o prices &&
        margin-stress calibrate prices/prices.csv -o calibration.toml --no-page
    margin-stress import positions --exchange binance -o "$book"
fi >/dev/null

exec margin-stress run scenarios/*.toml --book "$book" --out "results/nightly/$night" --resume \
    --keep 60 --quiet --log nightly.jsonl --on-finish ./tell_webhook.sh
