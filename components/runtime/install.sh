#!/bin/sh
# Makes WORK/venv, a Python environment with exactly these requirements:  install.sh REQUIREMENTS WORK
#
# An environment is built under a name of its own and marked complete when all of it is on the disk; only then does the
# link `venv` move to it. So a power cut or a failed download leaves the environment that worked, running it again does
# nothing, and a rollback finds the one before still there.
set -eu
requirements=$1
cd "$2"

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "fedgrass needs python3 to be Python 3.11 or newer; it is '$(python3 --version 2>&1)'" >&2
  exit 1
}
# A new minor version of Python needs other wheels.
minor=$(python3 -c 'import sys; print(sys.version_info[:2])')
environment=venv-$({ echo "$minor"; cat "$requirements"; } | sha256sum | cut -c 1-16)

if [ ! -e "$environment/complete" ]; then
  current=$(readlink venv || true)
  for other in venv-*; do
    [ "$other" = "$current" ] || rm -rf "$other"
  done
  python3 -m venv "$environment"
  # pip unpacks in TMPDIR, and /tmp may be in memory. The list is complete: pip must neither add to it nor compile.
  mkdir "$environment/tmp"
  TMPDIR=$PWD/$environment/tmp "$environment/bin/python" -m pip install --requirement "$requirements" \
    --no-deps --only-binary :all: --no-cache-dir --no-input --disable-pip-version-check
  rm -rf "$environment/tmp"
  sync
  touch "$environment/complete"
fi
ln -sfn "$environment" venv.next
mv -T venv.next venv
