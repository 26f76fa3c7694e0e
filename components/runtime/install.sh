#!/bin/sh
# Makes WORK/venv, a Python environment with exactly these requirements, whose wheels come from one package index:
#   install.sh REQUIREMENTS WORK INDEX_URL
#
# An environment is built under a name of its own and marked complete when all of it is on the disk; only then does the
# link `venv` move to it. So the environment that worked is left alone by whatever happens here, running it again does
# nothing, and a rollback finds the one before still there.
#
# It can be killed at any moment, by a power cut too, and goes on from there when it is run again: nucleus lite waits
# five minutes for it, whatever its Timeout says. Two runs at the same time wait for each other.
# Nothing that lies in WORK, and no setting of Python's or pip's on this machine, has a say: python3 -I, and see
# install_wheels.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
requirements=$1
index_url=$3
cd "$2"

python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "fedgrass needs python3 to be Python 3.11 or newer; it is '$(python3 --version 2>&1)'" >&2
  exit 1
}

# The lock is on the open directory, which this shell and what it starts have in common: it ends with the last of them.
exec 9<.
python3 -I -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null || {
  echo "another installation is under way: waiting for its end" >&2
  python3 -I -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

# A new minor version of Python needs other wheels.
minor=$(python3 -I -c 'import sys; print(sys.version_info[:2])')
environment=venv-$({ echo "$minor"; cat "$requirements"; } | sha256sum | cut -c 1-16)

if [ ! -e "$environment/complete" ]; then
  current=$(readlink venv || true)
  for other in venv-*; do
    [ "$other" = "$current" ] || [ "$other" = "$environment" ] || rm -rf "$other"
  done
  if [ ! -e "$environment/made" ]; then
    rm -rf "$environment"
    python3 -I -m venv "$environment"
    sync
    touch "$environment/made"
  fi
  # pip unpacks in TMPDIR, and /tmp may be in memory.
  rm -rf "$environment/tmp"
  mkdir "$environment/tmp"
  TMPDIR=$PWD/$environment/tmp "$environment/bin/python" -I "$here/install_wheels.py" "$requirements" wheels "$index_url"
  rm -rf "$environment/tmp" wheels
  sync
  touch "$environment/complete"
fi
ln -sfn "$environment" venv.next
mv -T venv.next venv
