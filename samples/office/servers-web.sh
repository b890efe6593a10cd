# Web servers, proxies and name servers. Sourced by play.sh, after servers.sh.

web_servers() {
  conf nginx.conf <<-END
	user nobody nogroup; worker_processes 1; pid $W/nginx.pid; error_log stderr;
	events { worker_connections 1024; }
	http {
	  types { text/html html; } access_log off; keepalive_timeout 300; keepalive_requests 10000;
	  server {
	    listen 80; listen [::]:80; root $W/www;
	    listen 443 ssl; listen [::]:443 ssl;
	    ssl_certificate $W/tls.crt; ssl_certificate_key $W/tls.key;
	    location /api { default_type application/json; return 200 '{"ok":true}'; }
	  }
	}
	END
  serve web1 nginx nginx -c "$W/nginx.conf" -g 'daemon off;'
  conf apache.conf <<-END
	ServerRoot /usr/lib/apache2
	ServerName web2.office.example
	PidFile $W/apache.pid
	ErrorLog $W/log/web2-error
	LoadModule mpm_event_module modules/mod_mpm_event.so
	LoadModule authz_core_module modules/mod_authz_core.so
	LoadModule dir_module modules/mod_dir.so
	LoadModule mime_module modules/mod_mime.so
	LoadModule autoindex_module modules/mod_autoindex.so
	LoadModule ssl_module modules/mod_ssl.so
	User nobody
	Group nogroup
	TypesConfig /etc/mime.types
	Listen 80
	Listen 443
	KeepAliveTimeout 300
	MaxKeepAliveRequests 0
	DocumentRoot $W/www
	<VirtualHost *:443>
	  SSLEngine on
	  SSLCertificateFile $W/tls.crt
	  SSLCertificateKeyFile $W/tls.key
	</VirtualHost>
	END
  touch /etc/mime.types
  serve web2 apache apache2 -f "$W/apache.conf" -DFOREGROUND
  conf lighttpd.conf <<-END
	server.document-root = "$W/www"
	server.port = 80
	index-file.names = ("index.html")
	server.max-keep-alive-idle = 300
	server.max-keep-alive-requests = 10000
	mimetype.assign = (".html" => "text/html")
	\$SERVER["socket"] == "[::]:80" { }
	END
  serve web3 lighttpd lighttpd -D -f "$W/lighttpd.conf"
  serve web3 webfs webfsd -F -p 8000 -r "$W/www" -f index.html
  serve web3 twisted twistd3 -n --pidfile "$W/twistd.pid" web --path "$W/www" --listen tcp:8080
  serve web4 caddy env HOME="$W" XDG_DATA_HOME="$W" caddy file-server --listen :80 --root "$W/www"
  serve web4 python python3 -m http.server 8000 --bind :: --directory "$W/www"
  serve web4 minihttpd mini_httpd -D -p 8081 -d "$W/www" -u nobody
  serve web4 busybox busybox httpd -f -p 8080 -h "$W/www"
  serve web4 webrick ruby -run -e httpd -- -p 8001 "$W/www"
  serve web4 php php -S '[::]:8002' -t "$W/www"
}

proxies() {
  conf haproxy.cfg <<-END
	defaults
	  mode http
	  timeout connect 5s
	  timeout client 300s
	  timeout server 300s
	frontend front
	  bind :::80 v4v6
	  default_backend back
	backend back
	  option http-server-close
	  http-reuse never
	  server web1 10.77.0.11:80
	  server web2 [fd77::12]:80
	END
  serve proxy1 haproxy haproxy -db -f "$W/haproxy.cfg"
  serve proxy1 varnish varnishd -F -n "$W/varnish" -a :6081 -b 10.77.0.12:80 -s malloc,16m
  conf squid.conf <<-END
	http_port 3128
	http_access allow all
	cache deny all
	pid_filename $W/squid.pid
	access_log none
	server_persistent_connections off
	cache_log $W/log/proxy1-squidcache
	visible_hostname proxy1.office.example
	shutdown_lifetime 1 seconds
	pinger_enable off
	END
  touch "$W/log/proxy1-squidcache"
  chmod 666 "$W/log/proxy1-squidcache"
  serve proxy1 squid squid -N -f "$W/squid.conf"
  conf tinyproxy.conf <<-END
	Port 8888
	Listen ::
	Timeout 300
	User nobody
	Group nogroup
	MaxClients 50
	END
  serve proxy1 tinyproxy tinyproxy -d -c "$W/tinyproxy.conf"
}

# Zone lines of every host, forward and backward.
zones() {
  local name number net look
  {
    echo '$TTL 60'
    echo '@ SOA ns1 admin 1 3600 600 86400 60'
    printf '@ NS ns1\n@ NS ns4\n@ MX 10 mail1\n@ MX 20 mail2\n@ TXT "v=spf1 mx -all"\n'
    printf '_ssh._tcp SRV 0 0 22 ssh1\nwww CNAME web1\nimap CNAME mail1\n'
    while read -r name number net look; do
      printf '%s A 10.77.%s.%s\n%s AAAA fd77:0:0:%s::%s\n' \
        "$name" "$net" "$number" "$name" "$net" "$number"
    done < <(hosts)
  } >"$W/dns/office.zone"
  {
    echo '$TTL 60'
    echo '@ SOA ns1.office.example. admin.office.example. 1 3600 600 86400 60'
    echo '@ NS ns1.office.example.'
    while read -r name number net look; do
      echo "$number.$net PTR $name.office.example."
    done < <(hosts)
  } >"$W/dns/77.zone"
}

name_servers() {
  mkdir -p "$W/dns" "$W/nsd"
  zones
  conf named.conf <<-END
	options {
	  directory "$W/dns"; pid-file none; session-keyfile none; recursion no;
	  listen-on-v6 { any; }; allow-transfer { any; }; dnssec-validation no; notify no;
	};
	controls { };
	zone "office.example" { type primary; file "office.zone"; };
	zone "77.10.in-addr.arpa" { type primary; file "77.zone"; };
	END
  chmod -R a+rwX "$W/dns"
  serve ns1 named named -f -u bind -c "$W/named.conf"
  conf unbound.conf <<-END
	server:
	  interface: 0.0.0.0
	  interface: ::0
	  access-control: 0.0.0.0/0 allow
	  access-control: ::0/0 allow
	  chroot: ""
	  username: ""
	  directory: "$W/dns"
	  pidfile: ""
	  use-syslog: no
	  module-config: "iterator"
	  local-zone: "10.in-addr.arpa." nodefault
	  domain-insecure: "office.example"
	  cache-max-ttl: 5
		remote-control:
	  control-enable: no
	stub-zone:
	  name: "office.example"
	  stub-addr: 10.77.0.16
	  stub-addr: 10.77.0.19
	stub-zone:
	  name: "77.10.in-addr.arpa"
	  stub-addr: fd77::16
	END
  serve ns2 unbound unbound -d -c "$W/unbound.conf"
  serve ns3 dnsmasq dnsmasq -k -C /dev/null -R -S 10.77.0.16 -c 20 --dhcp-leasefile="$W/leases" \
    -F 10.77.0.210,10.77.0.230,2m -u root --dhcp-option=15,office.example
  conf nsd.conf <<-END
	server:
	  username: ""
	  chroot: ""
	  zonesdir: "$W/nsd"
	  database: ""
	  pidfile: "$W/nsd/pid"
	  xfrdfile: "$W/nsd/xfrd"
	  zonelistfile: "$W/nsd/list"
	  xfrdir: "$W/nsd"
	remote-control:
	  control-enable: no
	zone:
	  name: office.example
	  zonefile: office
	  allow-notify: 10.77.0.16 NOKEY
	  request-xfr: AXFR 10.77.0.16 NOKEY
	END
  serve ns4 nsd nsd -d -c "$W/nsd.conf"
}
