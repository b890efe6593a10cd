# What the office's people and machines do: long sessions with slow chatter, short errands, and
# one scanner. Real client programs only. Sourced by play.sh, after servers.sh.

declare -A NUMBER NET

know_hosts() {
  local name number net look
  while read -r name number net look; do
    NUMBER[$name]=$number NET[$name]=$net
  done < <(hosts)
}

# Choose how a server is called: T by name, IPv4 or IPv6 address; U the same as it stands in a URL.
to() {
  case ${2:-$((RANDOM % 3))} in
    0) T=$1.office.example U=$T ;;
    1 | 4) T=10.77.${NET[$1]}.${NUMBER[$1]} U=$T ;;
    2 | 6) T=fd77:0:0:${NET[$1]}::${NUMBER[$1]} U="[$T]" ;;
  esac
}

any() {
  local list=("$@")
  PICK=${list[RANDOM % $#]}
}

# Wait without starting a process: nothing ever comes on descriptor 9.
pause() { read -r -t "$1" -u 9 || true; }

# Say the first line at once, then the others in turn, one every few seconds, until the office
# closes; then say what $BYE holds.
drip() {
  printf '%b' "$1"
  shift
  while ((SECONDS < CLOSING)); do
    local line
    for line in "$@"; do
      pause "$((SLOW + RANDOM % 6)).$((RANDOM % 10))"
      ((SECONDS < CLOSING)) || break
      printf '%b' "$line"
    done
  done
  printf '%b' "${BYE:-}"
}

ssh_quiet=(-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR)

# Long sessions: each a program that holds one connection all the time. $1 is the client's host.
sessions=(redis redis_every memcached smtp smtp_relay smtp_small imap imaps pop3 ftp_pro ftp_vs
  ftp_pure ssh_alive ssh_shell dropbear curl_nginx curl_apache curl_lighttpd curl_haproxy
  curl_squid wget requests lwp tls_web psql mysql irc_ii irc_nc irc2_nc mqtt mpd beanstalk echo
  echo_udp syslog_tcp syslog_udp sftp ping ntp)

session() {
  local host=$1 kind=$2
  any $people
  local user=$PICK nick=${PICK:0:3}${host: -2}${host:0:1}
  case $kind in
    redis) to db1; drip 'PING\n' "SET $host 1\n" "GET $host\n" 'DBSIZE\n' |
      at "$host" redis-cli -h "$T" ;;
    redis_every) to db1; at "$host" redis-cli -h "$T" -i $((SLOW + 3)) \
      -r $(((CLOSING - SECONDS) / (SLOW + 3))) INCR count ;;
    memcached) to db1
      BYE='quit\r\n' drip 'version\r\n' "set $host 0 0 5\r\nhello\r\n" "get $host\r\n" |
        at "$host" nc "$T" 11211 ;;
    smtp) to mail1; BYE='QUIT\r\n' drip "EHLO $host\r\n" 'NOOP\r\n' "VRFY $user@office.example\r\n" |
      at "$host" nc "$T" 25 ;;
    smtp_relay) to mail2; BYE='QUIT\n' drip "HELO $host\n" 'NOOP\n' 'RSET\n' |
      at "$host" telnet "$T" 25 ;;
    smtp_small) to mail3 4; BYE='QUIT\r\n' drip "HELO $host\r\n" 'NOOP\r\n' 'HELP\r\n' |
      at "$host" socat -t 2 - "TCP:$T:25" ;;
    imap) to mail1; BYE='z LOGOUT\r\n' drip "a LOGIN $user office\r\n" 'b SELECT INBOX\r\n' \
      'c NOOP\r\n' 'd STATUS INBOX (MESSAGES)\r\n' | at "$host" nc "$T" 143 ;;
    imaps) to mail1; BYE='z LOGOUT\n' drip "a LOGIN $user office\n" 'b NOOP\n' 'c NOOP\n' |
      at "$host" openssl s_client -quiet -crlf -connect "$U:993" ;;
    pop3) to mail1; BYE='QUIT\n' drip "USER $user\n" 'CAPA\n' "USER $user\n" |
      at "$host" telnet "$T" 110 ;;
    ftp_pro) to files1; ftp_session "$host" ;;
    ftp_vs) to files2; ftp_session "$host" ;;
    ftp_pure) to files3; ftp_session "$host" ;;
    ssh_alive) any web1 web2 mail2 db2 ns2 chat1 gw; to "$PICK"
      at "$host" timeout $((CLOSING - SECONDS)) ssh "${ssh_quiet[@]}" -i "$W/deskkey" -N \
        -o ServerAliveInterval=$((SLOW + RANDOM % 6)) "$user@$T" ;;
    ssh_shell) any ssh1 db1 files1 mon1; to "$PICK"
      BYE='exit\n' drip 'date\n' 'id -un\n' 'echo hello\n' 'pwd\n' |
        at "$host" ssh "${ssh_quiet[@]}" -i "$W/deskkey" -T "$user@$T" sh ;;
    dropbear) to ssh1; at "$host" timeout $((CLOSING - SECONDS)) sshpass -p office \
      dbclient -y -y -N -K $((SLOW + RANDOM % 4)) -p 2222 "$user@$T" ;;
    curl_nginx) to web1; curl_session "$host" "http://$U" ;;
    curl_apache) to web2; curl_session "$host" "http://$U" ;;
    curl_lighttpd) to web3; curl_session "$host" "http://$U" ;;
    curl_haproxy) to proxy1; curl_session "$host" "http://$U" ;;
    curl_squid) to proxy1; curl_session "$host" http://web1.office.example -x "http://$U:3128" ;;
    wget) to web2; at "$host" timeout $((CLOSING - SECONDS)) wget -q -O /dev/null \
      -w $((SLOW + 3)) --random-wait $(urls "http://$U") ;;
    requests) to web1; at "$host" env PYTHONDONTWRITEBYTECODE=1 python3 "$HERE/reader.py" \
      "http://$U" $((CLOSING - SECONDS)) $((SLOW + 3)) ;;
    lwp) to web3; at "$host" perl "$HERE/reader.pl" "http://$U" $((CLOSING - SECONDS)) \
      $((SLOW + 3)) ;;
    tls_web) any web1 web2; to "$PICK"
      local get="GET /p$((1 + RANDOM % 24)).html HTTP/1.1\nHost: $PICK\n\n"
      drip "$get" "$get" | at "$host" openssl s_client -quiet -crlf -connect "$U:443" ;;
    psql) to db1; drip 'select 1;\n' 'select now();\n' "select '$host';\n" |
      at "$host" psql -q -h "$T" -U office postgres ;;
    mysql) to db2; drip 'select 1;\n' 'select 2;\n' "select '$host';\n" |
      at "$host" mariadb --no-defaults -n -h "$T" -u office ;;
    irc_ii) any chat1 chat2; to "$PICK" 4; at "$host" timeout $((CLOSING - SECONDS)) \
      ii -s "$T" -n "$nick" -i "$W/irc-$nick" ;;
    irc_nc) to chat1; irc_session "$host" "$nick" ;;
    irc2_nc) to chat2; irc_session "$host" "$nick" ;;
    mqtt) to chat1; at "$host" timeout $((CLOSING - SECONDS)) mosquitto_sub -h "$T" \
      -k $((SLOW + RANDOM % 6)) -t "office/$host" ;;
    mpd) to chat2; BYE='close\n' drip 'status\n' 'ping\n' 'currentsong\n' |
      at "$host" nc "$T" 6600 ;;
    beanstalk) to db2 4; BYE='quit\r\n' drip 'list-tubes\r\n' 'peek-ready\r\n' \
      "put 0 0 60 5\r\nhello\r\n" | at "$host" socat -t 2 - "TCP:$T:11300" ;;
    echo) to ssh1 4; drip 'hello\n' 'anyone there?\n' 'it is late\n' |
      at "$host" nc -N "$T" 7 ;;
    echo_udp) to ssh1 4; drip 'hello\n' 'one\n' 'two\n' | at "$host" nc -u -w 20 "$T" 7 ;;
    syslog_tcp) to mon1 4; drip 'session opened\n' 'job done\n' 'job started\n' |
      at "$host" logger -T -n "$T" -P 514 -t "$user" ;;
    syslog_udp) to mon1; drip 'session opened\n' 'job done\n' 'job started\n' |
      at "$host" logger -d -n "$T" -P 514 -t "$user" ;;
    sftp) any files1 files2; to "$PICK"; BYE='bye\n' drip 'lpwd\n' "ls $W/ftp\n" 'pwd\n' |
      at "$host" sftp -q "${ssh_quiet[@]}" -i "$W/deskkey" "$user@$U" ;;
    ping) any web1 ns1 mail1 gw db1; to "$PICK"
      at "$host" ping -q -i $((SLOW + 2)) -c $(((CLOSING - SECONDS) / (SLOW + 2))) "$T" ;;
    ntp) to mon1; at "$host" timeout $((CLOSING - SECONDS)) chronyd -x -d \
      "server $T minpoll 3 maxpoll 3" 'acquisitionport 123' 'cmdport 0' \
      "pidfile $W/ntp-$host.pid" 'user root' ;;
  esac
}

ftp_session() {
  BYE='bye\n' drip "open $T\nuser anonymous $host@office.example\n" 'pwd\n' 'quote NOOP\n' \
    'cd /pub\n' | at "$1" ftp -n -v
}

irc_session() {
  BYE='QUIT\r\n' drip "NICK $2\r\nUSER $2 0 * :$2\r\n" "PING $1\r\n" 'PING office\r\n' |
    at "$1" nc "$T" 6667
}

urls() {
  local i
  for i in $(seq 30); do printf '%s/p%s.html ' "$1" $((1 + RANDOM % 24)); done
}

curl_session() {
  local host=$1 base=$2
  shift 2
  at "$host" timeout $((CLOSING - SECONDS)) curl -s -o /dev/null --rate $((5 + RANDOM % 2))/m "$@" \
    "$base/p[1-24].html"
}

start_sessions() {
  local host kind i=0
  for host in $(hosts | awk '/^(desk|lap)/ {print $1}'); do
    for ((n = 0; n < SESSIONS; n++)); do
      kind=${sessions[i++ % ${#sessions[@]}]}
      RANDOM=$i
      (session "$host" "$kind" || true) >"$W/log/$host-$kind-$n" 2>&1 </dev/null &
      pause 0.04
    done
  done
}
