# window:ttl:df:size:options:quirks:OS:detail      first packet of a connection (SYN)

# Linux: SACK permitted, timestamp, filler, window scale
S44:64:1:60:M*,S,T,N,W*:.:Linux:4.20 and newer
S45:64:1:60:M*,S,T,N,W*:.:Linux:4.20 and newer
S20:64:1:60:M*,S,T,N,W*:.:Linux:3.x, 4.x
S10:64:1:60:M*,S,T,N,W*:.:Linux:3.x
S4:64:1:60:M*,S,T,N,W*:.:Linux:2.6
S1:64:1:60:M*,S,T,N,W*:.:Linux:on its own loopback
S22:64:1:60:M*,S,T,N,W*:.:Linux:2.4
65535:64:1:60:M*,S,T,N,W*:.:Linux:Android, or a large buffer
S48:64:1:60:M*,S,T,N,W*:.:Linux:through a tunnel
# the same without timestamps
S44:64:1:52:M*,N,N,S,N,W*:.:Linux:4.20 and newer, no timestamps
S20:64:1:52:M*,N,N,S,N,W*:.:Linux:3.x, 4.x, no timestamps
# over IPv6: the size is the payload's, the flow label is set
S45:64:1:40:M*,S,T,N,W*:L:Linux:4.20 and newer
S44:64:1:40:M*,S,T,N,W*:L:Linux:4.20 and newer
S48:64:1:40:M*,S,T,N,W*:L:Linux:through a tunnel
S20:64:1:40:M*,S,T,N,W*:L:Linux:3.x, 4.x
S20:64:1:40:M*,S,T,N,W*:Z:Linux:3.x, 4.x
65535:64:1:40:M*,S,T,N,W*:L:Linux:Android, or a large buffer
S45:64:1:32:M*,N,N,S,N,W*:L:Linux:4.20 and newer, no timestamps

# Windows: filler before the scale, no timestamp
8192:128:1:52:M*,N,W8,N,N,S:.:Windows:7, Server 2008 R2
8192:128:1:52:M*,N,W2,N,N,S:.:Windows:Vista, 7
8192:128:1:48:M*,N,N,S:.:Windows:7, no scaling
64240:128:1:52:M*,N,W8,N,N,S:.:Windows:10, 11
S44:128:1:52:M*,N,W8,N,N,S:.:Windows:10, 11
65535:128:1:52:M*,N,W8,N,N,S:.:Windows:10, Server 2016 and newer
64240:128:1:48:M*,N,N,S:.:Windows:XP
S44:128:1:48:M*,N,N,S:.:Windows:XP
65535:128:1:48:M*,N,N,S:.:Windows:XP, 2000
16384:128:1:48:M*,N,N,S:.:Windows:2000
64800:128:1:32:M*,N,W8,N,N,S:L:Windows:10, 11
S45:128:1:32:M*,N,W8,N,N,S:L:Windows:10, 11

# Apple: ends with two ends of options
65535:64:1:64:M*,N,W*,N,N,T,S,E,E:P:macOS:10.6 and newer, iOS
65535:64:1:64:M*,N,W*,N,N,T,S,E,E:ZP:macOS:10.14 and newer, iOS
65535:64:1:44:M*,N,W*,N,N,T,S,E,E:LP:macOS:10.6 and newer, iOS

# BSD
65535:64:1:60:M*,N,W*,S,T:.:FreeBSD:7 and newer
65535:64:1:60:M*,N,W*,S,T:Z:FreeBSD:11 and newer
65535:64:1:40:M*,N,W*,S,T:L:FreeBSD:7 and newer
16384:64:1:64:M*,N,N,S,N,W*,N,N,T:.:OpenBSD:4.9 and newer
16384:64:1:64:M*,N,N,S,N,W3,N,N,T:.:OpenBSD:5
32768:64:1:60:M*,N,W*,S,T:.:NetBSD:5 and newer
32768:64:1:64:M*,N,W*,S,N,N,N,N,T:.:NetBSD:4 and newer

# small stacks and tools
1024:64:0:44:M1460:.:nmap:scan by SYN
2048:64:0:44:M1460:.:nmap:scan by SYN
3072:64:0:44:M1460:.:nmap:scan by SYN
4096:64:0:44:M1460:.:nmap:scan by SYN
S4:255:0:44:M*:.:lwIP:embedded
S2:255:0:44:M*:.:lwIP:embedded
512:64:0:40:.:.:hping:3
65535:255:0:40:.:.:masscan:or zmap
1024:255:0:40:.:.:masscan:or zmap
