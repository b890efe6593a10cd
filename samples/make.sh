#!/bin/bash
# Makes office.pcap: some 50 hosts with real servers and clients, played for two minutes and
# captured. README.md tells what it needs, does and leaves behind.
#
#   sudo samples/make.sh          writes samples/office.pcap
#
# KEEP=DIR keeps the programs it installs in DIR, for the next run.
set -euo pipefail
samples=$(cd "$(dirname "$0")" && pwd)

fail() {
  echo "make.sh: $*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || fail 'needs root: it makes network namespaces and mounts'
for tool in unshare nsenter mount chroot apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || fail "needs $tool (Debian or one of its kin)"
done

stage=${KEEP:-$(mktemp -d -p /var/tmp office.XXXXXX)}
tidy() { [ -n "${KEEP:-}" ] || rm -rf "$stage"; }
trap tidy EXIT
mkdir -p "$stage"/{upper,work,root,out}
rm -rf "${stage:?}"/out/*
cp -r "$samples/office" "$stage/out/office"

cat <<END
Playing the office. Programs that are missing come from Debian, into $stage,
laid over this machine's files in a private mount namespace: nothing is installed or started
outside it. All hosts live in private network namespaces without a way out; all processes in a
private process namespace, which ends them. It takes about two minutes and a half, and some more
for the first download.
END

# The bounds are for a machine that hangs: 15 minutes to download, 4 to play.
unshare --mount --pid --fork --kill-child --propagation private \
  bash "$stage/out/office/stage.sh" "$stage" 900 240 &
play=$!
# Killed, it takes its child along, the first process of the namespace, and with it all others.
trap 'kill -KILL "$play"; sleep 1; exit 130' INT TERM
wait "$play"
trap - INT TERM

[ -s "$stage/out/office.pcap" ] || fail 'no capture came out'
cp "$stage/out/office.pcap" "$samples/office.pcap"
chown --reference="$samples" "$samples/office.pcap"
echo "Wrote $samples/office.pcap"
