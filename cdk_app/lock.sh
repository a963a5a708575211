#!/bin/sh
# Resolves every lock anew: this machine's, and those of the two bundles, which take their versions from it.
set -eu
compile() { uv pip compile --quiet --no-header --no-emit-index-url --generate-hashes "$@"; }
compile --universal --python-version 3.11 pyproject.toml --output-file requirements.txt
compile --universal --python-version 3.11 --extra dev --constraints requirements.txt pyproject.toml --output-file requirements-dev.txt
for role in client server; do
    compile --no-annotate --constraints requirements.txt --python-version 3.12 --python-platform x86_64-manylinux_2_34 \
        "runtime/$role/requirements.in" --output-file "runtime/$role/requirements.txt"
done
