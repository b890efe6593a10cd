const TCP = 6
const UDP = 17

/** Names for services that no signature recognised, by their usual port, as the asset log writes them. */
const TCP_PORTS: ReadonlyMap<number, string> = new Map([
  [20, '@ftp-data'],
  [21, '@ftp'],
  [22, '@ssh'],
  [25, '@smtp'],
  [80, '@www'],
  [110, '@pop3'],
  [111, '@sunrpc'],
  [113, '@auth'],
  [115, '@sftp'],
  [119, '@nntp'],
  [143, '@imap2'],
  [161, '@snmp'],
  [162, '@snmp-trap'],
  [389, '@ldap'],
  [443, '@https'],
  [445, '@microsoft-ds'],
  [554, '@rtsp'],
  [631, '@ipp'],
  [990, '@ftps'],
  [992, '@telnets'],
  [993, '@imaps'],
  [995, '@pop3s'],
  [2049, '@nfs'],
  [3306, '@mysql'],
  [6667, '@irc'],
])
/** A port has one name, so 53 and the like are UDP's alone. */
const UDP_PORTS: ReadonlyMap<number, string> = new Map([
  [53, '@domain'],
  [111, '@sunrpc'],
  [123, '@ntp'],
  [161, '@snmp'],
  [162, '@snmp-trap'],
  [514, '@syslog'],
  [554, '@rtsp'],
  [1194, '@openvpn'],
  [2049, '@nfs'],
])

/** The name of the service that usually stands behind a port; it begins with `@`. */
export function knownPort(protocol: number, port: number): string | undefined {
  if (protocol === TCP) return TCP_PORTS.get(port)
  if (protocol === UDP) return UDP_PORTS.get(port)
}
