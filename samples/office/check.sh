# Tells what a capture holds and fails where it is not fit: check.sh FILE [BYTES_MAX]
set -euo pipefail
file=$1 bytes_max=${2:-5000000}

fields=(ip.proto ipv6.nxt ip.src ip.dst ipv6.src ipv6.dst tcp.srcport tcp.dstport udp.srcport
  udp.dstport arp.src.proto_ipv4 arp.dst.proto_ipv4 eth.type)
options=$(printf -- '-e %s ' "${fields[@]}") # split into words on purpose
tshark -n -r "$file" -T fields -E separator='|' -E occurrence=f $options 2>/dev/null |
  awk -F'|' -v bytes="$(stat -c %s "$file")" -v bytes_max="$bytes_max" '
    # One flow is both directions of a 5-tuple; what has no ports is told apart by its addresses.
    {
      from = $3 $5 $11 " " $7 $9
      to = $4 $6 $12 " " $8 $10
      key = $1 $2 $13 " " (from < to ? from " " to : to " " from)
      flow[NR] = key
      count[key]++
      if ($7 $9 != "") ported[key] = 1
      if ($6 != "") six++
    }
    function effective(a, b,   w, k, sum, i) {
      for (i = a; i <= b; i++) w[flow[i]]++
      for (k in w) sum += w[k] * w[k]
      return (b - a + 1) ^ 2 / sum
    }
    END {
      bad = 0
      for (k in ported) flows++
      for (k in count) if (count[k] > largest) largest = count[k]
      printf "%d packets (%d of IPv6), %d bytes, %d TCP and UDP flows\n", NR, six, bytes, flows
      printf "largest flow: %.2f %% of the packets; flows that weigh: %d", \
        100 * largest / NR, effective(1, NR)
      for (part = 0; part < 4; part++) {
        from = int(NR * part / 4) + 1
        weigh = effective(from, int(NR * (part + 1) / 4))
        printf ", %d", weigh
        if (weigh < 250) bad = 1
      }
      printf " in the quarters\nflows across the cuts:"
      for (part = 1; part < 4; part++) {
        cut = int(NR * part / 4)
        split("", before)
        split("", across)
        for (i = 1; i <= cut; i++) before[flow[i]] = 1
        for (; i <= NR; i++) if (flow[i] in before && flow[i] in ported) across[flow[i]] = 1
        n = 0
        for (k in across) n++
        printf " %d", n
        if (n < 100) bad = 1
      }
      print ""
      if (NR < 20000 || flows < 500 || largest > NR * 0.007 || bytes > bytes_max) bad = 1
      if (bad) print "The capture is not fit: see the figures above." > "/dev/stderr"
      exit bad
    }'

# The capture must not tell of the machine it was made on.
for word in "$(uname -r)" "$(hostname)"; do
  # A short name would be found in random bytes.
  [ ${#word} -gt 4 ] || continue
  if grep -a -q -F "$word" "$file"; then
    echo "The capture tells \"$word\" of this machine." >&2
    exit 1
  fi
done
