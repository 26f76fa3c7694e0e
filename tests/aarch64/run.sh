#!/usr/bin/env bash
# Runs the agent's tests on emulated 64-bit ARM, with the packages that a Raspberry Pi gets:
#
#   run.sh CACHE PIP [PYTEST ARGUMENTS]  < REQUIREMENTS
#
# CACHE keeps a Debian 12 root for arm64, and in it a Python environment with exactly the requirements (name==version
# lines for aarch64, complete: nothing is resolved). PIP is any machine's pip: wheels are unpacked, never run, here.
# Needs root, debootstrap, and qemu-user registered with the kernel for aarch64.
#
# Now and then a process that a process with threads forks hangs in qemu before it has become another program, and a test of
# a second training process lasts until its timeout. One such process died of SIGABRT instead, perhaps for the same reason.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
cache=$1 pip=$2
shift 2
root=$cache/root
export QEMU_CPU=cortex-a72 # a Raspberry Pi 4's; the default has vector extensions that no Pi has

fail() {
  echo "test-aarch64: $1" >&2
  exit 1
}
[ "$(id -u)" = 0 ] || fail 'has to run as root: it makes a Debian root, and enters it'
command -v debootstrap >/dev/null || fail 'debootstrap is missing: apt install debootstrap'
# A container may lack the file system by which the kernel is told of interpreters.
[ -e /proc/sys/fs/binfmt_misc/status ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc ||
  fail '/proc/sys/fs/binfmt_misc cannot be mounted: the kernel does not run foreign programs here'
if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
  update-binfmts --enable qemu-aarch64 || fail 'no qemu for aarch64: apt install qemu-user-static binfmt-support'
fi

# In mount and process namespaces of its own, so that nothing stays mounted or running, however this ends.
enter() {
  unshare --mount --pid --fork --kill-child bash -euc '
    repository=$1 root=$2
    shift 2
    mkdir -p "$root/repository"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs tmpfs "$root/tmp"
    mount --bind "$repository" "$root/repository"
    mount -o remount,bind,ro "$root/repository"
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root PYTHONDONTWRITEBYTECODE=1 \
      QEMU_CPU="$QEMU_CPU" chroot "$root" sh -c "cd /repository && exec \"\$@\"" sh "$@"
  ' bash "$repository" "$root" "$@"
}

mkdir -p "$cache"
if [ ! -e "$cache/root-complete" ]; then
  echo 'Making a Debian root for arm64 (some minutes, once)'
  rm -rf --one-file-system "$root"
  unshare --mount debootstrap --arch=arm64 --variant=minbase --include=python3 bookworm "$root" >"$cache/debootstrap.log" ||
    fail "debootstrap failed: see $cache/debootstrap.log"
  touch "$cache/root-complete"
fi

requirements=$(cat)
key=$(sha256sum <<<"$requirements" | cut -c 1-16)
environment=/environment-$key
if [ ! -e "$root$environment/complete" ]; then
  echo 'Unpacking the aarch64 wheels (150 MB to download, once)'
  rm -rf "$root"/environment-*
  enter python3 -m venv --without-pip "$environment"
  "$pip" install --quiet --no-deps --only-binary :all: --disable-pip-version-check \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
    --python-version 3.11 --implementation cp \
    --target "$root$environment/lib/python3.11/site-packages" --requirement /dev/stdin <<<"$requirements"
  touch "$root$environment/complete"
fi

# Two tests are left out. One measures the memory of a process: here it would be the emulator's as well. The other limits
# it, which the emulator does not do for what it runs.
enter "$environment/bin/python" -m pytest -p no:cacheprovider -o timeout=1800 "$@" \
  --deselect tests/components/client/agent/test_service.py::test_an_idle_agent_has_neither_torch_nor_boto3_and_stays_small \
  --deselect tests/components/client/agent/test_supervisor.py::test_training_that_needs_more_memory_than_it_may_have_says_so
