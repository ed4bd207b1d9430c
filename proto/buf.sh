#!/usr/bin/env bash
# Lint the schema, and compare it with the released one. Optional: needs npx and its registry.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export npm_config_fetch_retries=0 npm_config_loglevel=error
buf() { npx --yes @bufbuild/buf@1.75.0 "$@" </dev/null; }

if ! buf --version >/dev/null 2>&1; then
  echo "buf: skipped, npx cannot provide it here"
  exit 0
fi
buf lint
if [[ -e released/v1.binpb ]]; then
  buf breaking --against released/v1.binpb
else
  echo "buf: nothing released yet, breaking changes not checked"
fi
