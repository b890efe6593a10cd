# Plays the office and captures what crosses its bridge. make.sh starts it inside private
# namespaces; it expects to be alone there.
set -u
HERE=$1 OUT=$2
W=/run/office
SESSIONS=11   # long sessions per desk: some 290 connections that live through the capture
SLOW=8        # seconds between two exchanges of a session, at the least
HURRY=9       # seconds between two errands of a desk, at the most
DAY=110       # seconds of traffic
hostname office
mkdir -p "$W"
exec 3>"$W/quiet"
mkfifo "$W/never"
exec 9<>"$W/never"

. "$HERE/net.sh"
. "$HERE/servers.sh"
. "$HERE/servers-web.sh"
. "$HERE/servers-mail.sh"
. "$HERE/servers-data.sh"
. "$HERE/clients.sh"
. "$HERE/errands.sh"

ip link set lo up
raise_network
raise_servers
know_hosts
pause 8 # until the slowest servers listen
ip netns exec lan tcpdump -i br0 -s 0 -B 16384 -Z root -w "$OUT/office.pcap" 2>"$W/log/tcpdump" &
dump=$!
pause 1
START=$SECONDS CLOSING=$((SECONDS + DAY))
start_errands
start_sessions
pause $((CLOSING - SECONDS + 3))
kill -INT "$dump"
wait "$dump"
cat "$W/log/tcpdump"
cp -r "$W/log" "$OUT/log"
