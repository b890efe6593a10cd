# Short errands of the desks, and the scanner's rounds. Sourced by play.sh, after clients.sh.

# One errand, run on host $1. Each is a line: a program that talks to a server and ends.
web_errand() {
  local page=/p$((1 + RANDOM % 24)).html
  any web1 web2 web3 web4 proxy1 prn1
  local server=$PICK port=''
  [ "$server" = prn1 ] && port=:631 page=/robots.txt
  [ "$server" = web4 ] && { any :80 :8000 :8001 :8002 :8080 :8081; port=$PICK; }
  [ "$server" = web3 ] && { any :80 :8000 :8080; port=$PICK; }
  [ "$server" = proxy1 ] && { any :80 :6081; port=$PICK; }
  if [ "$port" = :8080 ] || [ "$port" = :8081 ]; then to "$server" 4; else to "$server"; fi
  local url="http://$U$port$page"
  case $((RANDOM % 18)) in
    0 | 1 | 2) at "$1" curl -s -o /dev/null "$url" ;;
    3) at "$1" curl -s -I "$url" ;;
    4) at "$1" wget -q -O /dev/null "$url" ;;
    5) at "$1" lynx -dump "$url" ;;
    6) at "$1" w3m -dump "$url" ;;
    7) at "$1" links -http.fake-user-agent Links/2.28 -dump "$url" ;;
    8) at "$1" elinks -no-home -eval 'set protocol.http.user_agent = "ELinks/0.13.2"' \
      -dump "$url" ;;
    9) at "$1" aria2c -q --no-conf --allow-overwrite=true -d "$W/get" -o "$1" "$url" ;;
    10) at "$1" axel -q -n 2 -o "$W/get/axel-$1-$RANDOM" "$url" ;;
    11) at "$1" lwp-request -m GET "$url" ;;
    12) at "$1" busybox wget -q -O /dev/null "$url" ;;
    13) to web1; at "$1" ab -q -n 3 -c 1 "http://$U/api" ;;
    14) any web1 web2; to "$PICK"; at "$1" curl -s -k -o /dev/null "https://$U$page" ;;
    15) to proxy1; at "$1" curl -s -o /dev/null -x "http://$U:8888" \
      http://web3.office.example/robots.txt ;;
    16) to web2; at "$1" siege -q -c 1 -r 2 -R "$W/siegerc" "http://$U$page" ;;
    17) at "$1" http --ignore-stdin --body GET "$url" ;;
  esac
}

name_errand() {
  any ns1 ns2 ns3 ns4
  local server=$PICK
  to "$server" $((1 + RANDOM % 2))
  any web1 www mail1 desk03 nosuch db1 lap02
  local name=$PICK.office.example
  any A AAAA MX TXT ANY SOA
  case $((RANDOM % 9)) in
    0 | 1) at "$1" dig +tries=1 "@$T" "$name" "$PICK" ;;
    2) at "$1" host -t "$PICK" office.example "$T" ;;
    3) at "$1" nslookup "$name" "$T" ;;
    4) at "$1" drill "@$T" "$name" "$PICK" ;;
    5) at "$1" kdig "@$T" "$name" "$PICK" ;;
    6) at "$1" dig +tcp "@$T" "$name" "$PICK" ;;
    7) at "$1" dig +tries=1 "@$T" -x "10.77.0.$((10 + RANDOM % 30))" ;;
    8) at "$1" getent ahosts "$name" ;;
  esac
}

mail_errand() {
  any $people
  local from=$PICK@office.example
  any $people
  local rcpt=$PICK@office.example
  any mail1 mail2 mail3
  if [ "$PICK" = mail3 ]; then to mail3 4; else to "$PICK"; fi
  case $((RANDOM % 8)) in
    0 | 1) at "$1" swaks -S --server "$T" --ehlo "$1.office.example" --from "$from" \
      --to "$rcpt" --body 'See you at lunch.' ;;
    2) printf 'Subject: plan\n\nAt nine.\n' |
      at "$1" msmtp --host="$T" --from="$from" --domain="$1.office.example" "$rcpt" ;;
    3) printf 'Subject: news\n\nNone.\n' | at "$1" curl -s "smtp://$U" --mail-from "$from" \
      --mail-rcpt "$rcpt" -T - ;;
    4) to mail1; at "$1" curl -s "imap://${rcpt%@*}:office@$U/" ;;
    5) to mail1; at "$1" curl -s "pop3://${rcpt%@*}:office@$U/" ;;
    6) to mail1; at "$1" curl -s -k "imaps://${rcpt%@*}:office@$U/" ;;
    7) to mail1 4; printf 'poll %s proto pop3 user %s pass office\n' "$T" "${rcpt%@*}" >"$W/fm-$1"
      chmod 600 "$W/fm-$1"
      at "$1" env FETCHMAILHOME="$W/get" fetchmail -c --nosslcertck --pidfile "$W/fm-$1.pid" \
        -f "$W/fm-$1" ;;
  esac
}

file_errand() {
  local file=file$((1 + RANDOM % 24)).txt
  any files1 files2 files3
  to "$PICK"
  case $((RANDOM % 11)) in
    0) at "$1" curl -s -o /dev/null "ftp://$U/pub/$file" ;;
    1) at "$1" lftp -c "set ssl:verify-certificate no; open $U; cat pub/$file" ;;
    2) at "$1" wget -q -O /dev/null "ftp://$U/pub/$file" ;;
    3) to files1; at "$1" tftp "$T" -m binary -c get "pub/$file" /dev/null ;;
    4) to files1; at "$1" busybox tftp -g -r "pub/$file" -l /dev/null "$T" ;;
    5) to files1; at "$1" rsync "rsync://$U/pub/$file" "$W/get/" ;;
    6) to files1; at "$1" smbclient -N "//$T/pub" -c 'ls file1*' ;;
    7) to files2; at "$1" git ls-remote "git://$U/docs.git" ;;
    8) to files2 4; at "$1" svn ls "svn://$U" --config-dir "$W/get/svn" ;;
    9) any files1 files2; to "$PICK"; any $people
      at "$1" scp -q "${ssh_quiet[@]}" -i "$W/deskkey" "$PICK@$U:$W/ftp/pub/$file" "$W/get/" ;;
    10) to files1 4; at "$1" nmblookup -U "$T" FILES1 ;;
  esac
}

data_errand() {
  case $((RANDOM % 10)) in
    0 | 1) to db1; at "$1" redis-cli -h "$T" INCR visits ;;
    2) to db1 4; at "$1" memcping --servers="$T" ;;
    3) to db1; at "$1" psql -q -h "$T" -U office -c 'select 42' postgres ;;
    4) to db2; at "$1" mariadb --no-defaults -h "$T" -u office -e 'select 42' ;;
    5) to db2; at "$1" ldapsearch -x -H "ldap://$U" -b dc=office,dc=example -s base ;;
    6 | 7) to chat1; at "$1" mosquitto_pub -h "$T" -t "office/$1" -m hello ;;
    8) to chat2; printf 'ping\nclose\n' | at "$1" nc -N "$T" 6600 ;;
    9) to db1; printf 'stats settings\r\nquit\r\n' | at "$1" nc "$T" 11211 ;;
  esac
}

house_errand() {
  case $((RANDOM % 24)) in
    0 | 1) any mon1 gw prn1 ns1 web2 files1; to "$PICK"
      local peer=$T
      [[ $T == *:* ]] && peer="udp6:[$T]"
      at "$1" snmpget -v2c -c public "$peer" 1.3.6.1.2.1.1.5.0 ;;
    2) any mon1 gw prn1; to "$PICK" 4; at "$1" snmpwalk -v1 -c public "$T" 1.3.6.1.2.1.1.9.1.2 ;;
    3 | 4) to mon1 $((1 + RANDOM % 2))
      at "$1" chronyd -x -Q -t 3 "server $T iburst maxsamples 1" "pidfile $W/get/$1.pid" \
        'cmdport 0' ;;
    5) to voip1 4; at "$1" radtest alice office "$T" 0 secret ;;
    6) at "$1" sipsak -s sip:alice@10.77.0.33 -H "$1" ;;
    7) to voip1; at "$1" turnutils_stunclient "$T" ;;
    8) to prn1; at "$1" lpstat -h "$U" -r ;;
    9) to mon1; at "$1" logger -n "$T" -d -P 514 -t alice 'coffee is ready' ;;
    10) to mon1; printf 'list\nfetch load\nquit\n' | at "$1" nc "$T" 4949 ;;
    11 | 12) any web1 mail1 gw ns2 desk05 prn1; to "$PICK"
      local size=56
      ((RANDOM % 4)) || size=1600
      at "$1" ping -q -c 2 -i 0.3 -s $size "$T" ;;
    13) at "$1" fping -q -r 0 10.77.0.11 10.77.0.21 10.77.0.32 10.77.0.99 ;;
    14) any lap01 lap04 web1; to "$PICK" 4; at "$1" traceroute -n -q 1 -m 3 "$T" ;;
    15) any lap02 lap03 mail1; to "$PICK"; at "$1" mtr -n -r -c 1 "$T" ;;
    16) [ "${NET[$1]}" = 0 ] && at "$1" arping -q -c 1 -I eth0 10.77.0.$((10 + RANDOM % 30)) ;;
    17) [ "${NET[$1]}" = 0 ] && at "$1" busybox udhcpc -i eth0 -n -q -t 2 -s /bin/true -x \
      "hostname:$1" ;;
    18) to web1 4; at "$1" hping3 -q -S -p 80 -c 2 -i u300000 "$T" ;;
    19) any prn1 desk02 web3; to "$PICK"; at "$1" nc -z -w 2 "$T" $((2000 + RANDOM % 500)) ;;
    20) any desk02 desk07 ns4; to "$PICK" 4; echo x | at "$1" nc -u -w 1 "$T" 9 ;;
    21) at "$1" nc -z -w 2 "10.77.0.$((150 + RANDOM % 20))" 80 ;;
    22) to ssh1; any 13 37; at "$1" nc -w 2 "$T" "$PICK" ;;
    23) to chat1 4; printf 'NICK x%s\r\nUSER x 0 * :x\r\nQUIT\r\n' "$RANDOM" |
      at "$1" nc -w 2 "$T" 6667 ;;
  esac
}

shell_errand() {
  any $people
  local user=$PICK
  any ssh1 web1 mail2 db2 voip1 ns1
  to "$PICK"
  case $((RANDOM % 3)) in
    0) at "$1" ssh "${ssh_quiet[@]}" -i "$W/deskkey" "$user@$T" true ;;
    1) at "$1" sshpass -p office ssh "${ssh_quiet[@]}" "$user@$T" true ;;
    2) to ssh1; at "$1" sshpass -p office dbclient -y -y -p 2222 "$user@$T" true ;;
  esac
}

# One desk's day: an errand, a pause, the next.
desk() {
  local host=$1 errand
  pause "$((RANDOM % 16)).$((RANDOM % 10))"
  while ((SECONDS < CLOSING - 4)); do
    any web web web web web name name name mail file file data data house house house shell
    errand=${PICK}_errand
    (RANDOM=$RANDOM "$errand" "$host")
    pause "$((RANDOM % HURRY)).$((RANDOM % 10))"
  done
}

# The scanner: small rounds of each kind of scan, spread over the day.
audit() {
  local round
  local scans=(
    '-sS --top-ports 12 10.77.0.11-16'
    '-sn 10.77.0.24-40'
    '-sT -p 21,22,25,80,110,143,443,6667 10.77.0.20-26'
    '-sU -p 53,69,123,161,514 10.77.0.16-18'
    '-O --osscan-limit -p 22,80,9999 10.77.0.12'
    '-6 -sS --top-ports 10 fd77::11 fd77::20 fd77::27'
    '-sV --version-light -p 21,22,25,80 10.77.0.23'
    '-sF -p 22,80,443 10.77.0.12 10.77.0.101'
    '-sX -p 22,80,631 10.77.0.32'
    '-sN -p 22,25,110 10.77.0.20'
    '-sA -p 22,80,443 10.77.0.1 10.77.0.13'
    '-sS -f -p 80,443 10.77.0.11'
    '-sO -p 1,6,17,41,132 10.77.0.13'
    '-sS --top-ports 15 10.77.8.101-103'
    '-sY -p 80,2905 10.77.0.14'
    '-6 -sU -p 53,123,161 fd77::16 fd77::31'
    '-O --osscan-limit -p 22,445,9999 10.77.0.23'
    '-sS -p 1-40 10.77.0.30'
  )
  for round in "${scans[@]}"; do
    ((SECONDS < CLOSING - 6)) || break
    # The list is split into words on purpose.
    at audit1 timeout 12 nmap -n -T4 --max-retries 1 $round
    pause $(((CLOSING - START) / 20))
  done
}

start_errands() {
  mkdir -p "$W/get"
  chmod 777 "$W/get"
  printf 'verbose = false\nlogging = false\nshow-logfile = false\n' >"$W/siegerc"
  local host
  for host in $(hosts | awk '/^(desk|lap)/ {print $1}'); do
    RANDOM=${NUMBER[$host]}
    desk "$host" >"$W/log/$host-desk" 2>&1 </dev/null &
  done
  audit >"$W/log/audit1-scan" 2>&1 </dev/null &
}
