# window:ttl:df:size:options:quirks:OS:detail      answer to the first packet (SYN and ACK)

65160:64:1:60:M1460,S,T,N,W*:ZAT:Linux:4.20 and newer
64768:64:1:60:M*,S,T,N,W*:ZAT:Linux:4.20 and newer
S44:64:1:52:M*,N,N,S,N,W*:ZA:Linux:4.20 and newer
S44:64:1:48:M*,N,N,S:ZA:Linux:4.20 and newer
S44:64:1:44:M*:ZA:Linux:4.20 and newer
S44:64:1:48:M*,N,W*:ZA:Linux:4.20 and newer
28960:64:1:60:M1460,S,T,N,W*:ZAT:Linux:3.x, 4.x
14480:64:1:60:M1460,S,T,N,W*:ZAT:Linux:3.x
S20:64:1:52:M*,N,N,S,N,W*:ZA:Linux:3.x, 4.x
S10:64:1:52:M*,N,N,S,N,W*:ZA:Linux:3.x
S4:64:1:52:M*,N,N,S,N,W*:ZA:Linux:2.6
5792:64:1:60:M1460,S,T,N,W*:ZAT:Linux:2.6
65535:64:1:60:M*,S,T,N,W*:ZAT:Linux:with a large buffer
65483:64:1:60:M65495,S,T,N,W*:ZAT:Linux:on its own loopback
64260:64:1:40:M1440,S,T,N,W*:ATL:Linux:4.20 and newer
S45:64:1:32:M*,N,N,S,N,W*:AL:Linux:4.20 and newer
S45:64:1:28:M*,N,W*:AL:Linux:4.20 and newer
65535:64:1:40:M*,S,T,N,W*:ATL:Linux:with a large buffer

8192:128:1:60:M*,N,W8,S,T:AT:Windows:7, Server 2008 R2 and newer
8192:128:1:52:M*,N,W8,N,N,S:A:Windows:7, Server 2008 R2 and newer
65535:128:1:52:M*,N,W8,N,N,S:A:Windows:10, Server 2016 and newer
64240:128:1:52:M*,N,W8,N,N,S:A:Windows:10, 11
S44:128:1:52:M*,N,W8,N,N,S:A:Windows:10, 11
65535:128:1:60:M*,N,W8,S,T:AT:Windows:10, Server 2016 and newer
16384:128:0:44:M*:A:Windows:2000, Server 2003

65535:64:1:64:M*,N,W*,N,N,T,S,E,E:AP:macOS:10.6 and newer
65535:64:1:60:M*,N,W*,S,T:AT:FreeBSD:7 and newer
65535:64:1:60:M*,N,W*,S,T:ZAT:FreeBSD:11 and newer
16384:64:1:64:M*,N,N,S,N,W*,N,N,T:AT:OpenBSD:4.9 and newer
32768:64:1:60:M*,N,W*,S,T:AT:NetBSD:5 and newer
S4:255:0:44:M*:A:lwIP:embedded
4128:255:0:44:M*:A:Cisco:IOS
