/** Numbers of the protocols that the packet view knows, as IANA and the pcap format assign them. */

export const LINK_NULL = 0
export const LINK_ETHERNET = 1
/** Raw IP by the DLT numbers of some BSDs: files carry them although 101 is the right number. */
export const LINK_RAW_BSD = 12
export const LINK_RAW_OPENBSD = 14
export const LINK_PPP = 9
export const LINK_RAW = 101
export const LINK_CHDLC = 104
export const LINK_LOOP = 108
export const LINK_COOKED = 113
/** Raw IP of the version that the number names. */
export const LINK_IPV4 = 228
export const LINK_IPV6 = 229
export const LINK_COOKED2 = 276

export const ETHER_IPV4 = 0x0800
export const ETHER_ARP = 0x0806
export const ETHER_VLAN = 0x8100
export const ETHER_IPV6 = 0x86dd
export const ETHER_MPLS = 0x8847
export const ETHER_MPLS_MULTICAST = 0x8848
export const ETHER_QINQ = 0x88a8
export const ETHER_QINQ_OLD = 0x9100

/** What stands above the link layer: the values of `Packet.kind`. */
export const NET_NONE = 0
export const NET_IPV4 = 1
export const NET_IPV6 = 2
export const NET_ARP = 3

export const PROTO_HOP_BY_HOP = 0
export const PROTO_ICMP = 1
export const PROTO_TCP = 6
export const PROTO_UDP = 17
export const PROTO_ROUTING = 43
export const PROTO_FRAGMENT = 44
export const PROTO_ESP = 50
export const PROTO_AH = 51
export const PROTO_ICMPV6 = 58
export const PROTO_NONE = 59
export const PROTO_DESTINATION = 60
export const PROTO_SCTP = 132

export const TCP_FIN = 0x01
export const TCP_SYN = 0x02
export const TCP_RST = 0x04
export const TCP_PSH = 0x08
export const TCP_ACK = 0x10
export const TCP_URG = 0x20
export const TCP_ECE = 0x40
export const TCP_CWR = 0x80

export const ARP_REQUEST = 1
export const ARP_REPLY = 2

/** What is wrong with a packet: the values of `Packet.malformed`, index of `malformedNames`. */
export const FINE = 0
export const BAD_LINK_TYPE = 1
export const BAD_LINK_TRUNCATED = 2
export const BAD_TAGS = 3
export const BAD_IP_TRUNCATED = 4
export const BAD_IP_VERSION = 5
export const BAD_IP_HEADER_LENGTH = 6
export const BAD_IP_TOTAL_LENGTH = 7
export const BAD_IP_BEYOND_WIRE = 8
export const BAD_EXTENSION_TRUNCATED = 9
export const BAD_EXTENSION_CHAIN = 10
export const BAD_TCP_TRUNCATED = 11
export const BAD_TCP_HEADER_LENGTH = 12
export const BAD_UDP_TRUNCATED = 13
export const BAD_UDP_LENGTH = 14
export const BAD_ICMP_TRUNCATED = 15
export const BAD_ARP_TRUNCATED = 16
export const BAD_ARP_FORMAT = 17

/** Names of the causes, for counters and logs: `malformedNames[packet.malformed]`. */
export const malformedNames: readonly string[] = [
  'fine',
  'unknown-link-type',
  'link-truncated',
  'too-many-tags',
  'ip-truncated',
  'ip-version',
  'ip-header-length',
  'ip-total-length',
  'ip-beyond-wire',
  'ipv6-extension-truncated',
  'ipv6-extension-chain',
  'tcp-truncated',
  'tcp-header-length',
  'udp-truncated',
  'udp-length',
  'icmp-truncated',
  'arp-truncated',
  'arp-format',
]
