# The office's servers: real daemons in the foreground, each with a configuration written here,
# its files under $W. Sourced by play.sh, after net.sh.

# Start a daemon on a host; its output goes to a log of its own.
serve() {
  local host=$1 name=$2
  shift 2
  at "$host" "$@" >"$W/log/$host-$name" 2>&1 </dev/null &
}

# File from standard input, under $W.
conf() {
  mkdir -p "$(dirname "$W/$1")"
  cat >"$W/$1"
}

people='alice bob carol dave erin frank'

# Accounts, names and keys of the office: the capture must show none of the machine's own.
furnish() {
  local name
  chmod 755 "$W"
  mkdir -p "$W"/{log,www,ftp/pub,mail,spool,music,redis,munin} /run/sshd /run/mysqld /run/lock
  chmod 1777 "$W/mail" "$W/log" "$W/spool" /run/lock
  printf '127.0.0.1 localhost\n::1 localhost\n' >/etc/hosts
  rm -f /etc/resolv.conf
  printf 'search office.example\noptions rotate timeout:2\n' >/etc/resolv.conf
  printf 'nameserver %s\n' 10.77.0.17 fd77::18 10.77.0.16 >>/etc/resolv.conf
  echo office.example >/etc/mailname
  echo office >/etc/hostname
  mkdir -p /etc/cups
  echo 'UserAgentTokens Minimal' >/etc/cups/client.conf
  for name in $people; do
    useradd -m -d "/run/home/$name" -s /bin/sh "$name" 2>&3
    echo "$name:office" | chpasswd
  done
  useradd -r ftp 2>&3
  usermod -d "$W/ftp" ftp >&3 2>&1
  useradd -r postfix 2>&3
  groupadd -r postdrop 2>&3
  chmod 555 "$W/ftp"
  ssh-keygen -q -t ed25519 -N '' -C office -f "$W/hostkey"
  ssh-keygen -q -t ed25519 -N '' -C desk -f "$W/deskkey"
  dropbearkey -t ed25519 -f "$W/dropbearkey" >&3 2>&1
  for name in $people; do
    install -d -m 700 -o "$name" "/run/home/$name/.ssh"
    install -m 600 -o "$name" "$W/deskkey.pub" "/run/home/$name/.ssh/authorized_keys"
  done
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
    -subj /CN=office.example -keyout "$W/tls.key" -out "$W/tls.crt" 2>&3
  cat "$W/tls.key" "$W/tls.crt" >"$W/tls.pem"
  pages
}

# Small and varied pages and files.
pages() {
  local i
  for i in $(seq 1 24); do
    {
      echo "<html><head><title>Page $i</title></head><body><h1>Page $i</h1>"
      head -c $((RANDOM % 400)) </dev/zero | tr '\0' "$(printf '\\%o' $((97 + i)))"
      echo "<a href=\"/p$((i % 24 + 1)).html\">next</a></body></html>"
    } >"$W/www/p$i.html"
    head -c $((60 + RANDOM % 700)) /dev/zero | tr '\0' "$((i % 10))" >"$W/ftp/pub/file$i.txt"
  done
  echo '<html><body><a href="/p1.html">start</a></body></html>' >"$W/www/index.html"
  echo 'User-agent: *' >"$W/www/robots.txt"
}

raise_servers() {
  furnish
  web_servers
  proxies
  name_servers
  mail_servers
  file_servers
  shell_servers
  data_servers
  message_servers
  house_servers
}
