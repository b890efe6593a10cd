# window:ttl:df:size:options:quirks:OS:detail      end of a connection (FIN)

*:64:1:52:N,N,T:ATFN:Linux:2.4 and newer, or another Unix
*:64:1:32:N,N,T:ATFNL:Linux:3.x and newer, or another Unix
*:128:1:40:.:AFN:Windows:XP and newer
*:128:1:20:.:AFNL:Windows:Vista and newer
