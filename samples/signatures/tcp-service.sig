# service,v/name/version/misc/,expression          what a TCP server says

# Secure shell
ssh,v/OpenSSH/$2/protocol $1/,^SSH-([\d.]+)-OpenSSH_([^\s]+)
ssh,v/Dropbear/$2/protocol $1/,^SSH-([\d.]+)-dropbear_([^\s]+)
ssh,v/libssh/$2/protocol $1/,^SSH-([\d.]+)-libssh[_-]([^\s]+)
ssh,v/Cisco/$2/protocol $1/,^SSH-([\d.]+)-Cisco-([^\s]+)
ssh,v/$2//protocol $1/,^SSH-([\d.]+)-([^\r\n]{1,80})

# Web servers, by the header of their answer
http,v/nginx/$1//,\nServer: nginx/([\w.]+)
http,v/nginx///,\nServer: nginx\r
http,v/Apache/$1/$2/,\nServer: Apache/([\w.]+) \(([^)\r\n]*)\)
http,v/Apache/$1//,\nServer: Apache/([\w.]+)
http,v/Apache///,\nServer: Apache\r
http,v/lighttpd/$1//,\nServer: lighttpd/([\w.]+)
http,v/Microsoft IIS/$1//,\nServer: Microsoft-IIS/([\d.]+)
http,v/Caddy///,\nServer: Caddy\r
http,v/Envoy///,\n[Ss]erver: envoy\r
http,v/Varnish///,\nVia: [^\r\n]{0,80}[Vv]arnish
http,v/Squid/$1//,\nServer: squid/([\w.]+)
http,v/HAProxy///,\nServer: HAProxy
http,v/Jetty/$1//,\nServer: Jetty\(([^)\r\n]*)\)
http,v/Python http.server/$1//,\nServer: (?:SimpleHTTP|BaseHTTP)/[\d.]+ Python/([\w.]+)
http,v/TwistedWeb/$1//,\nServer: TwistedWeb/([\w.]+)
http,v/CUPS/$1//,\nServer: CUPS/([\w.]+)
http,v/thttpd/$1//,\nServer: thttpd/([^\s]+)
http,v/BusyBox httpd///,\nServer: BusyBox
http,v/mini_httpd/$1//,\nServer: mini_httpd/([\w.]+)
http,v/$1///,\nServer: ([^\r\n]{1,60})
http,v/unnamed///,^HTTP/1\.[01] \d\d\d

# Mail
smtp,v/Postfix//$1/,^220[ -]([^\s]+) ESMTP Postfix
smtp,v/Exim/$2/$1/,^220[ -]([^\s]+) ESMTP Exim ([\w.]+)
smtp,v/Sendmail/$2/$1/,^220[ -]([^\s]+) ESMTP Sendmail ([^\s;]+)
smtp,v/OpenSMTPD//$1/,^220[ -]([^\s]+) ESMTP OpenSMTPD
smtp,v/Microsoft Exchange//$1/,^220[ -]([^\s]+) Microsoft ESMTP MAIL Service
smtp,v/Google//$1/,^220[ -]([^\s]+) ESMTP [^\r\n]{1,80} - gsmtp
smtp,v/unnamed//$1/,^220[ -]([^\s]+) E?SMTP
imap,v/Dovecot///,^\* OK [^\r\n]{0,400}Dovecot
imap,v/Cyrus/$1//,^\* OK [^\r\n]{0,200}Cyrus IMAP v?([^\s]+)
imap,v/Courier///,^\* OK [^\r\n]{0,400}Courier-IMAP
imap,v/unnamed///,^\* OK [^\r\n]{0,400}IMAP4
pop3,v/Dovecot///,^\+OK [^\r\n]{0,80}Dovecot
pop3,v/unnamed///,^\+OK [^\r\n]{0,80}POP3

# Files
ftp,v/vsftpd/$1//,^220 \(vsFTPd ([\w.]+)\)
ftp,v/ProFTPD/$1//,^220 ProFTPD ([\w.]+)
ftp,v/ProFTPD///,^220 ProFTPD
ftp,v/Pure-FTPd///,^220[ -][^\r\n]{0,40}Pure-FTPd
ftp,v/FileZilla/$1//,^220[ -]FileZilla Server (?:version )?([\w.]+)
ftp,v/Microsoft FTP///,^220[ -]Microsoft FTP Service
ftp,v/unnamed///,^220[ -][^\r\n]{0,80}FTP
rsync,v/rsync//protocol $1/,^@RSYNCD: ([\d.]+)
smb,v/SMB//version 1/,^\0[\s\S]{3}\xffSMB
smb,v/SMB//version 2 or 3/,^\0[\s\S]{3}\xfeSMB

# Data
mysql,v/MariaDB/$1//,^[\s\S]{3}\0\x0a(?:5\.5\.5-)?([\d.]+)-MariaDB
mysql,v/MySQL/$1//,^[\s\S]{3}\0\x0a([\d.]+[-\w]*)\0
redis,v/Redis/$1//,redis_version:([\d.]+)
redis,v/Redis///,^(?:\+PONG|-NOAUTH |-ERR unknown command)
memcached,v/memcached/$1//,^VERSION ([\d.]+)\r
postgresql,v/PostgreSQL///,^R\0\0\0[\x08\x0c\x17\x2a]\0\0\0
mongodb,v/MongoDB///,^[\s\S]{12}(?:\x01|\xdd\x07)\0\0[\s\S]{0,80}(?:ismaster|maxBsonObjectSize)
mqtt,v/MQTT broker///,^\x20\x02[\0\x01][\0-\x05]$
ldap,v/LDAP///,^\x30[\s\S]{1,5}\x02\x01[\x01-\x7f]\x61

# Others
tls,v/TLS///,^\x16\x03[\0-\x04][\s\S]{2}\x02
irc,v/ngIRCd/$1//,running version (ngircd-[^\s]+)
irc,v/InspIRCd///,InspIRCd-[\d.]+
irc,v/unnamed///,^:[^\s]+ (?:NOTICE|001) 
munin,v/Munin node//$1/,^# munin node at ([^\s]+)
vnc,v/VNC//protocol $1/,^RFB (\d\d\d\.\d\d\d)\n
rdp,v/Remote Desktop///,^\x03\0\0[\x0b-\x13]\x06?[\s\S]?\xd0\0\0
telnet,v/Telnet///,^\xff[\xfb\xfd][\x01\x03\x18\x1f\x20\x23\x25\x27]
sip,v/SIP//$1/,^SIP/2\.0 [\s\S]{1,400}\nServer: ([^\r\n]{1,60})
modbus,v/Modbus///,^[\s\S]{2}\0\0\0[\x03-\xff][\s\S][\x01-\x06\x0f\x10\x81-\x90]
dns,v/DNS over TCP///,^[\s\S]{4}[\x80-\x87\xa0-\xaf][\0-\x0f\x80-\x8f\xa0-\xaf]\0\x01
bittorrent,v/BitTorrent///,^\x13BitTorrent protocol
