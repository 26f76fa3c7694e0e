#!/bin/sh
# Makes WORK/venv, a Python environment with exactly the packages of a list, which are brought by install_wheels.py:
#   install.sh ARTIFACTS WORK TORCH INDEX_URL TORCH_INDEX_URL PROXY PYTHON WHEELHOUSE
# From TORCH on they are this component's configuration, of which the last three may be empty: see its recipe.
#
# An environment is built under a name of its own and marked complete when all of it is on the disk; only then does the
# link `venv` move to it. So the environment that worked is left alone by whatever happens here, running it again does
# nothing, and a rollback finds the one before still there.
#
# It can be killed at any moment, by a power cut too, and goes on from there when it is run again: nucleus lite waits
# five minutes for it, whatever its Timeout says. So does a try that the line ends. What a try leaves that could not
# succeed is removed. Two runs at the same time wait for each other.
# Nothing that lies in WORK, and no setting of Python's or pip's on this machine, has a say: python3 -I, and see
# install_wheels.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
artifacts=$1 work=$2 torch=$3 index_url=$4 torch_index_url=$5 proxy=$6 own=$7 wheelhouse=$8

refuse() {
  echo "$1" >&2
  exit 1
}
case $torch in
cpu) requirements=$artifacts/requirements.txt ;;
cuda) requirements=$artifacts/requirements-cuda.txt ;;
*) refuse "torch of the configuration is '$torch': it can be cpu or cuda" ;;
esac
for path in "$own" "$wheelhouse"; do
  case $path in
  '' | /*) ;;
  *) refuse "python and wheelhouse of the configuration are paths on this device that begin with /; one is '$path'" ;;
  esac
done
[ -z "$own" ] || { [ -f "$own" ] && [ -x "$own" ]; } ||
  refuse "python of the configuration is '$own', which $(id -un) can't run: name the program, such as /opt/venv/bin/python"
python=${own:-python3}
cd "$work"

"$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  refuse "fedgrass needs $python to be Python 3.11 or newer; it is '$("$python" --version 2>&1)'"

# The lock is on the open directory, which this shell and what it starts have in common: it ends with the last of them.
exec 9<.
"$python" -I -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null || {
  echo "another installation is under way: waiting for its end" >&2
  "$python" -I -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

remove_all_but() {
  current=$(readlink venv || true)
  for other in venv-*; do
    [ "$other" = "$current" ] || [ "$other" = "$1" ] || rm -rf "$other"
  done
}

# The operator's own environment is asked for by its path: a link to its Python would not be of that environment.
use_own() {
  "$python" -I "$here/check_python.py" "$requirements"
  environment=venv-own-$(echo "$own" | sha256sum | cut -c 1-16)
  remove_all_but "$environment"
  mkdir -p "$environment/bin"
  "$python" -I -c 'import shlex, sys; print("#!/bin/sh\nexec", shlex.quote(sys.argv[1]), "\"$@\"")' "$own" \
    >"$environment/bin/python.next"
  chmod 755 "$environment/bin/python.next"
  mv "$environment/bin/python.next" "$environment/bin/python"
}

make_environment() {
  # A new minor version of Python needs other wheels.
  minor=$(python3 -I -c 'import sys; print(sys.version_info[:2])')
  environment=venv-$({ echo "$minor"; cat "$requirements"; } | sha256sum | cut -c 1-16)
  [ ! -e "$environment/complete" ] || return 0
  packed=$artifacts/wheelhouse-$(uname -m).zip
  [ -n "$wheelhouse" ] || [ ! -e "$packed" ] || wheelhouse=$packed

  remove_all_but "$environment"
  python3 -I "$here/check_device.py" "$torch" "$environment"
  if [ ! -e "$environment/made" ]; then
    rm -rf "$environment"
    python3 -I -m venv "$environment" || { rm -rf "$environment" && exit 1; }
    sync
    touch "$environment/made"
  fi
  # pip unpacks in TMPDIR, and /tmp may be in memory.
  rm -rf "$environment/tmp"
  mkdir "$environment/tmp"
  status=0
  TMPDIR=$PWD/$environment/tmp "$environment/bin/python" -I "$here/install_wheels.py" "$requirements" wheels \
    "$index_url" "$torch_index_url" "$proxy" "$wheelhouse" || status=$?
  [ "$status" != 1 ] || rm -rf "$environment" wheels
  [ "$status" = 0 ] || exit "$status"
  rm -rf "$environment/tmp" wheels
  sync
  touch "$environment/complete"
}

if [ -n "$own" ]; then use_own; else make_environment; fi
ln -sfn "$environment" venv.next
mv -T venv.next venv
