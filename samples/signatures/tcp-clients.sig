# service,v/name/version/misc/,expression          what a TCP client says

ssh,v/OpenSSH/$2/protocol $1/,^SSH-([\d.]+)-OpenSSH_([^\s]+)
ssh,v/PuTTY/$2/protocol $1/,^SSH-([\d.]+)-PuTTY_([^\s]+)
ssh,v/libssh/$2/protocol $1/,^SSH-([\d.]+)-libssh2?[_-]([^\s]+)
ssh,v/$2//protocol $1/,^SSH-([\d.]+)-([^\r\n]{1,80})

http,v/curl/$1//,\nUser-Agent: curl/([\w.]+)
http,v/Wget/$1//,\nUser-Agent: Wget/([\w.]+)
http,v/python-requests/$1//,\nUser-Agent: python-requests/([\w.]+)
http,v/Python urllib/$1//,\nUser-Agent: Python-urllib/([\w.]+)
http,v/Go///,\nUser-Agent: Go-http-client/
http,v/apt/$1//,\nUser-Agent: Debian APT-HTTP/[\w.]+ \(([^)\r\n]*)\)
http,v/Edge/$1//,\nUser-Agent: Mozilla/5\.0 [^\r\n]{0,200} Edge?/([\d.]+)
http,v/Opera/$1//,\nUser-Agent: Mozilla/5\.0 [^\r\n]{0,200} OPR/([\d.]+)
http,v/Chrome/$1//,\nUser-Agent: Mozilla/5\.0 [^\r\n]{0,200} Chrome/([\d.]+)
http,v/Firefox/$1//,\nUser-Agent: Mozilla/5\.0 [^\r\n]{0,200} Firefox/([\d.]+)
http,v/Safari/$1//,\nUser-Agent: Mozilla/5\.0 [^\r\n]{0,200} Version/([\d.]+) [^\r\n]{0,40}Safari/
http,v/Internet Explorer/$1//,\nUser-Agent: Mozilla/[45]\.0 \([^\r\n]{0,40}MSIE ([\d.]+)
http,v/Lynx/$1//,\nUser-Agent: Lynx/([\w.]+)
http,v/w3m/$1//,\nUser-Agent: w3m/([\w.]+)
http,v/nmap///,\nUser-Agent: [^\r\n]{0,80}Nmap Scripting Engine
http,v/nikto/$1//,\nUser-Agent: [^\r\n]{0,80}Nikto/([\w.]+)
http,v/$1///,\n[Uu]ser-[Aa]gent: ([^\r\n]{1,80})
http,v/unnamed///,^(?:GET|POST|HEAD|PUT|OPTIONS|CONNECT) [^\r\n]{1,500} HTTP/1\.[01]\r

tls,v/TLS///,^\x16\x03[\0-\x03][\s\S]{2}\x01
smtp,v/SMTP//$1/,^(?:EHLO|HELO) ([^\r\n]{1,80})\r
rsync,v/rsync//protocol $1/,^@RSYNCD: ([\d.]+)
smb,v/SMB//version 1/,^\0[\s\S]{3}\xffSMB
smb,v/SMB//version 2 or 3/,^\0[\s\S]{3}\xfeSMB
mqtt,v/MQTT///,^\x10[\s\S]{1,2}\0[\x04\x06]MQ(?:TT|Isdp)
redis,v/Redis///,^\*\d{1,4}\r\n\$\d{1,6}\r\n
postgresql,v/PostgreSQL///,^\0\0[\s\S]{2}\0\x03\0\0user\0
ldap,v/LDAP///,^\x30[\s\S]{1,5}\x02\x01[\x01-\x7f]\x60
irc,v/IRC///,^(?:CAP LS|NICK |USER |PASS )
vnc,v/VNC//protocol $1/,^RFB (\d\d\d\.\d\d\d)\n
modbus,v/Modbus///,^[\s\S]{2}\0\0\0[\x06-\xff][\s\S][\x01-\x06\x0f\x10]
bittorrent,v/BitTorrent///,^\x13BitTorrent protocol
sip,v/SIP//$1/,^(?:REGISTER|INVITE|OPTIONS) sip:[\s\S]{1,400}\nUser-Agent: ([^\r\n]{1,60})
