# window:ttl:df:size:options:quirks:OS:detail      a packet in the midst of a connection; size is 0

*:64:1:0:N,N,T:AT:Linux:2.4 and newer, or another Unix
*:64:1:0:N,N,T:ZAT:Linux:2.6 and newer
*:64:1:0:N,N,T:ATL:Linux:3.x and newer, or another Unix
*:128:1:0:.:A:Windows:XP and newer
*:128:1:0:.:AL:Windows:Vista and newer
