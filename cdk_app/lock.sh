#!/bin/sh
# Resolves the locks of the two bundles anew; they take every version from the project's own lock,
# which has the extra `trees` in it.
set -eu
for role in client server; do
    uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --generate-hashes \
        --constraints requirements-dev.txt --python-version 3.12 --python-platform x86_64-manylinux_2_34 \
        "runtime/$role/requirements.in" --output-file "runtime/$role/requirements.txt"
done
