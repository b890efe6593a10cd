# Hosts as network namespaces, joined by two bridges in a namespace of their own.
# Sourced by play.sh; all of it lives in a private network and mount namespace.

hosts() { grep -v '^#' "$HERE/hosts.txt"; }

# Run a command on a host: in its network namespace and under its host name.
at() {
  local host=$1
  shift
  nsenter --net="/run/netns/$host" --uts="/run/uts/$host" -- "$@"
}

# What stacks differ in: TTL, window, scaling, timestamps, SACK, MTU.
looks() {
  local host=$1 look=$2
  local set="at $host sysctl -q -w"
  case $look in
    winlike) $set net.ipv4.ip_default_ttl=128 net.ipv4.tcp_timestamps=0 \
      net.ipv6.conf.all.hop_limit=128 net.ipv6.conf.eth0.hop_limit=128 ;;
    nots) $set net.ipv4.tcp_timestamps=0 net.ipv4.tcp_rmem='4096 32768 262144' ;;
    small) $set net.ipv4.tcp_rmem='4096 16384 65535' net.ipv4.tcp_window_scaling=0 ;;
    roomy) $set net.ipv4.tcp_rmem='4096 524288 6291456' net.ipv4.tcp_ecn=1 ;;
    unixlike) $set net.ipv4.ip_default_ttl=255 net.ipv4.tcp_sack=0 \
      net.ipv6.conf.all.hop_limit=255 net.ipv6.conf.eth0.hop_limit=255 ;;
    printer) $set net.ipv4.ip_default_ttl=255 net.ipv4.tcp_timestamps=0 net.ipv4.tcp_sack=0 \
      net.ipv4.tcp_window_scaling=0 net.ipv4.tcp_rmem='4096 8192 32768' ;;
    tunnel) at "$host" ip link set eth0 mtu 1400 ;;
    plain) ;;
  esac
}

# One cable from a host to a bridge. Offloads are off, so that the capture holds the packets a
# wire would: real checksums, no segment larger than the MTU.
cable() {
  local host=$1 dev=$2 bridge=$3 net=$4 number=$5
  local port="$host$net"
  ip -n "$host" link add "$dev" type veth peer name "$port" netns lan
  ip netns exec lan ethtool -K "$port" tx off rx off gso off tso off gro off >&3 2>&1
  at "$host" ethtool -K "$dev" tx off rx off gso off tso off gro off >&3 2>&1
  local mac
  mac=$(printf '02:77:00:00:%02x:%02x' "$net" "$number")
  ip -n "$host" link set "$dev" address "$mac" up
  ip -n lan link set "$port" master "$bridge" up
  ip -n "$host" addr add "10.77.$net.$number/24" brd + dev "$dev"
  ip -n "$host" addr add "fd77:0:0:$net::$number/64" dev "$dev" nodad
}

raise_host() {
  local host=$1 number=$2 net=$3 look=$4
  ip netns add "$host"
  touch "/run/uts/$host"
  unshare --uts="/run/uts/$host" hostname "$host"
  at "$host" sysctl -q -w net.ipv4.ping_group_range='0 65535'
  ip -n "$host" link set lo up
  cable "$host" eth0 "br$net" "$net" "$number"
  at "$host" sysctl -q -w net.ipv4.neigh.eth0.base_reachable_time_ms=90000 \
    net.ipv6.neigh.eth0.base_reachable_time_ms=90000
  looks "$host" "$look"
}

raise_network() {
  mkdir -p /run/netns /run/uts
  mount --bind /run/uts /run/uts
  mount --make-private /run/uts
  ip netns add lan
  ip netns exec lan sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 \
    net.ipv6.conf.default.disable_ipv6=1
  local bridge
  for bridge in br0 br8; do
    ip -n lan link add "$bridge" type bridge mcast_snooping 0
    ip -n lan link set "$bridge" up
  done
  local name number net look
  while read -r name number net look; do
    raise_host "$name" "$number" "$net" "$look"
  done < <(hosts)
  cable gw eth1 br8 8 1
  at gw sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  while read -r name number net look; do
    [ "$name" = gw ] && continue
    ip -n "$name" route add default via "10.77.$net.1"
    ip -n "$name" route add default via "fd77:0:0:$net::1"
  done < <(hosts)
}
