# Databases, chat, and what a house needs: time, management, printing, telephony. Sourced by
# play.sh, after servers.sh.

data_servers() {
  serve db1 redis redis-server --port 6379 --bind '*' '-::*' --protected-mode no --save '' \
    --rename-command COMMAND '' \
    --dir "$W/redis" --maxclients 500
  serve db1 memcached memcached -u nobody -l 0.0.0.0,:: -c 500
  install -d -o postgres "$W/pg"
  local pg
  pg=$(dirname "$(ls /usr/lib/postgresql/*/bin/postgres)")
  runuser -u postgres -- "$pg/initdb" -D "$W/pg" -A trust -U office >&3 2>&1
  printf 'host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n' >>"$W/pg/pg_hba.conf"
  serve db1 postgres runuser -u postgres -- "$pg/postgres" -D "$W/pg" -h '*' -k "$W/pg" -N 150
  install -d "$W/maria"
  mariadb-install-db --no-defaults --user=root --datadir="$W/maria" >&3 2>&1 || true
  serve db2 mariadb mariadbd --no-defaults --user=root --datadir="$W/maria" --skip-grant-tables \
    --skip-networking=0 --bind-address="*" --socket="$W/maria/sock" --pid-file="$W/maria/pid" \
    --innodb-buffer-pool-size=8M --max-connections=200
  serve db2 beanstalkd beanstalkd -l 0.0.0.0
  conf slapd.conf <<-END
	include /etc/ldap/schema/core.schema
	modulepath /usr/lib/ldap
	moduleload back_mdb
	pidfile $W/slapd.pid
	database mdb
	suffix "dc=office,dc=example"
	rootdn "cn=admin,dc=office,dc=example"
	rootpw office
	directory $W/ldap
	END
  mkdir -p "$W/ldap"
  serve db2 slapd slapd -d 0 -f "$W/slapd.conf" -h ldap:///
}

message_servers() {
  conf ngircd.conf <<-END
	[Global]
	Name = chat1.office.example
	Info = office chat
	MotdPhrase = welcome
	[Limits]
	MaxConnections = 500
	MaxConnectionsIP = 0
	PingTimeout = 12
	PongTimeout = 20
	[Options]
	Ident = no
	PAM = no
	DNS = no
	END
  serve chat1 ngircd ngircd -n -f "$W/ngircd.conf"
  conf mosquitto.conf <<-END
	listener 1883
	allow_anonymous true
	END
  serve chat1 mosquitto mosquitto -c "$W/mosquitto.conf"
  conf inspircd.conf <<-END
	<server name="chat2.office.example" description="chat" network="Office">
	<admin name="admin" nick="admin" email="admin@office.example">
	<bind address="" port="6667" type="clients">
	<connect allow="*" timeout="60" pingfreq="15" localmax="500" globalmax="500">
	<path configdir="$W" datadir="$W" logdir="$W/log">
	<pid file="$W/inspircd.pid">
	<options syntaxhints="no">
	END
  serve chat2 inspircd inspircd --nofork --runasroot --config "$W/inspircd.conf"
  conf mpd.conf <<-END
	music_directory "$W/music"
	bind_to_address "any"
	max_connections "100"
	connection_timeout "600"
	audio_output {
	  type "null"
	  name "none"
	}
	END
  serve chat2 mpd mpd --no-daemon --stderr "$W/mpd.conf"
}

house_servers() {
  conf snmpd.conf <<-END
	agentaddress udp:161,udp6:161
	rocommunity public default
	rocommunity6 public default
	sysLocation office
	sysContact admin@office.example
	sysName office
	sysDescr office machine
	END
  local host
  for host in mon1 gw prn1 ns1 web2 files1; do
    serve "$host" snmpd snmpd -f -Lo -C -c "$W/snmpd.conf" -I -smux
  done
  conf chrony.conf <<-END
	local stratum 8
	allow
	cmdport 0
	pidfile $W/chronyd.pid
	user root
	END
  serve mon1 chronyd chronyd -x -d -f "$W/chrony.conf"
  conf munin.conf <<-END
	host *
	port 4949
	setsid 0
	background 0
	log_file $W/log/mon1-muninnode
	pid_file $W/munin/pid
	user root
	group root
	host_name mon1.office.example
	cidr_allow 0.0.0.0/0
	END
  serve mon1 munin munin-node --config "$W/munin.conf"
  conf rsyslog.conf <<-END
	module(load="imudp")
	input(type="imudp" port="514")
	module(load="imtcp")
	input(type="imtcp" port="514")
	*.* $W/log/mon1-messages
	END
  serve mon1 rsyslogd rsyslogd -n -f "$W/rsyslog.conf" -i "$W/rsyslog.pid"
  conf cups/cupsd.conf <<-END
	Listen *:631
	ServerName prn1.office.example
	ServerAlias *
	Browsing Off
	ServerTokens Minimal
	<Location />
	  Order allow,deny
	  Allow all
	</Location>
	END
  serve prn1 cupsd cupsd -f -c "$W/cups/cupsd.conf" -s "$W/cups/cups-files.conf"
  printf 'ServerRoot %s/cups\nStateDir %s/cups\nTempDir %s/cups\nCacheDir %s/cups\n' \
    "$W" "$W" "$W" "$W" >"$W/cups/cups-files.conf"
  serve voip1 coturn turnserver -n -L 10.77.0.33 -L fd77::33 -p 3478 --no-tls --no-dtls --no-auth \
    --log-file stdout --pidfile "$W/turn.pid" --no-cli
  conf kamailio.cfg <<-END
	debug=0
	log_stderror=yes
	fork=yes
	children=1
	tcp_children=1
	listen=udp:10.77.0.33:5060
	listen=tcp:10.77.0.33:5060
	mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
	loadmodule "sl.so"
	request_route {
	  sl_send_reply("200", "OK");
	}
	END
  serve voip1 kamailio kamailio -DD -f "$W/kamailio.cfg" -Y "$W"
  serve voip1 freeradius freeradius -f -l stdout
  conf radvd.conf <<-END
	interface eth0 {
	  AdvSendAdvert on;
	  MaxRtrAdvInterval 20;
	  MinRtrAdvInterval 5;
	  prefix fd77:0:0:0::/64 { AdvAutonomous off; };
	};
	END
  serve gw radvd radvd -n -m stderr -C "$W/radvd.conf" -p "$W/radvd.pid"
}
