#!/bin/sh
# Fetches the pinned front-end libraries with `npm pack` and writes VENDOR.json; run it after changing a version below.
# tests/web/test_pages_vendor.py hashes the files again.
set -eu
cd "$(dirname "$0")"
here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # package version licence file-in-package name-here licence-file
    folder="$here/$5-$2"
    mkdir -p "$folder"
    (cd "$work" && npm pack --silent "$1@$2" >/dev/null && tar xzf ./*.tgz && rm ./*.tgz)
    # The source map stays out (1 MB), so the line that names it goes too: hashed static storage would look for it.
    sed '/^\/\/# sourceMappingURL=/d' "$work/package/$4" >"$folder/$(basename "$4")"
    cp "$work/package/$6" "$folder/LICENSE"
    printf '{\n  "name": "%s",\n  "version": "%s",\n  "licence": "%s",\n  "source": "npm:%s@%s/%s",\n  "sha256": "%s"\n}\n' \
        "$5" "$2" "$3" "$1" "$2" "$4" "$(sha256sum "$folder/$(basename "$4")" | cut -d' ' -f1)" >"$folder/VENDOR.json"
    rm -rf "$work/package"
}

fetch htmx.org 2.0.11 0BSD dist/htmx.min.js htmx LICENSE
fetch chart.js 4.6.1 MIT dist/chart.umd.min.js chart.js LICENSE.md
