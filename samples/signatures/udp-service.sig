# service,v/name/version/misc/,expression          what is said over UDP

# an answer: by flags and code, with at least one question
domain,v/DNS//answer/,^[\s\S]{2}[\x80-\x87][\0\x10\x20\x30\x80\x90\xa0\xb0]\0\x01
domain,v/DNS//no such name/,^[\s\S]{2}[\x80-\x87][\x03\x13\x23\x33\x83\x93\xa3\xb3]\0\x01
domain,v/DNS//refused or failed/,^[\s\S]{2}[\x80-\x87][\x02\x05\x82\x85\x92\x95\xa2\xa5]\0\x01
mdns,v/Multicast DNS//answer/,^\0\0\x84\0\0\0
ntp,v/NTP server///,^[\x1c\x24\xdc\xe4\x5c\x64][\x01-\x10][\s\S]{46}
ntp,v/NTP client///,^[\x1b\x23\xdb\xe3\x5b\x63][\s\S]{47}
dhcp,v/DHCP client///,^\x01\x01\x06[\s\S]{233}\x63\x82\x53\x63
dhcp,v/DHCP server///,^\x02\x01\x06[\s\S]{233}\x63\x82\x53\x63
snmp,v/SNMP//version 1/,^\x30[\s\S]{1,3}\x02\x01\0\x04
snmp,v/SNMP//version 2c/,^\x30[\s\S]{1,3}\x02\x01\x01\x04
snmp,v/SNMP//version 3/,^\x30[\s\S]{1,3}\x02\x01\x03\x30
syslog,v/syslog///,^<\d{1,3}>(?:1 \d{4}-|[A-Z][a-z][a-z] [ \d]\d )
tftp,v/TFTP///,^\0[\x01\x02][\x20-\x7e]{1,200}\0(?:octet|netascii)\0
ssdp,v/SSDP///,^(?:M-SEARCH|NOTIFY) \* HTTP/1\.1\r
sip,v/SIP//$1/,^SIP/2\.0 [\s\S]{1,400}\nServer: ([^\r\n]{1,60})
quic,v/QUIC///,^[\xc0-\xff]\0\0\0[\x01\x02][\0-\x14]
stun,v/STUN///,^[\0\x01][\x01\x11]\0[\s\S]\x21\x12\xa4\x42
netbios,v/NetBIOS name service///,^[\s\S]{2}[\x01\x29\x85]\x10\0[\0\x01]\0[\0\x01]
