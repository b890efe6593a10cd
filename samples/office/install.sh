# Installs the programs of packages.txt, inside the stage. Services are not started.
set -eu
cd /tmp
words=$(grep -v '^#' "$(dirname "$0")/packages.txt")
missing=''
for package in $words; do
  [ -e "/usr/share/doc/${package#+}" ] || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
apt-get update -q
# The lists are split into words on purpose.
apt-get install -q -y --no-install-recommends $(printf '%s\n' $missing | grep -v '^+' || true)
for package in $(printf '%s\n' $missing | sed -n 's/^+//p'); do
  apt-get download -q "$package"
  dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x --keep-directory-symlink -C /
done
apt-get clean
