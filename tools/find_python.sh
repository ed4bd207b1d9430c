#!/usr/bin/env bash
# Print the path of the oldest or the newest supported CPython on this machine.
set -euo pipefail

case "${1-}" in
  oldest) versions="3.10 3.11 3.12 3.13" ;;
  newest) versions="3.13 3.12 3.11 3.10" ;;
  *) echo "usage: $0 oldest|newest" >&2; exit 2 ;;
esac

pyenv_root=$(pyenv root 2>/dev/null || echo "${PYENV_ROOT:-${HOME-}/.pyenv}")

candidates() {
  type -ap "python$1" python3 python || true
  printf '%s\n' "$pyenv_root/versions/$1".*/bin/python
}

# Prints the interpreter behind a launcher if it has the version asked for and can make a venv.
# A pyenv shim whose version is not activated fails here.
probe='
import ensurepip, os, platform, sys, sysconfig, venv
assert platform.python_implementation() == "CPython"
assert sys.version_info[:2] == tuple(map(int, sys.argv[1].split(".")))
assert sys.version_info.releaselevel == "final"
assert not sysconfig.get_config_var("Py_GIL_DISABLED")
print(os.path.realpath(sys.executable))
'

for version in $versions; do
  while IFS= read -r candidate; do
    "$candidate" -I -c "$probe" "$version" 2>/dev/null </dev/null && exit
  done < <(candidates "$version")
done
echo "no CPython from 3.10 to 3.13 with venv and ensurepip found" >&2
exit 1
