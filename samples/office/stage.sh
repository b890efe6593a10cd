# Builds the stage: this machine's files with a writable layer over them, as root directory of the
# play. make.sh starts it in private mount and process namespaces, whose end undoes all of it.
set -euo pipefail
stage=$1 install_seconds=$2 play_seconds=$3
root=$stage/root

# A /dev of its own: no socket of the machine's services in it.
devices() {
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  mkdir "$root/dev/pts" "$root/dev/shm"
  local name
  for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
  done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
}

mount -t overlay overlay \
  -o "lowerdir=/,upperdir=$stage/upper,workdir=$stage/work" "$root"
cp -L --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
mount -t proc proc "$root/proc"
devices
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir "$root/run/out"
mount --bind "$stage/out" "$root/run/out"

clean=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb)
timeout "$install_seconds" chroot "$root" "${clean[@]}" DEBIAN_FRONTEND=noninteractive \
  bash /run/out/office/install.sh >"$stage/out/install.log" 2>&1 || {
  tail -n 20 "$stage/out/install.log" >&2
  echo 'make.sh: installing the programs failed' >&2
  exit 1
}

# /sys shows the devices of the network namespace that mounts it.
timeout "$play_seconds" unshare --net --uts --ipc bash -c '
  mount -t sysfs sysfs "$0/sys"
  exec chroot "$0" "$@"' "$root" \
  "${clean[@]}" HOME=/run/home/alice USER=alice LOGNAME=alice \
  bash /run/out/office/play.sh /run/out/office /run/out
chroot "$root" "${clean[@]}" bash /run/out/office/check.sh /run/out/office.pcap
