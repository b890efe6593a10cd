import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { Route } from '../loadgen/index.ts'
import { Ip, Subnet } from '../nf-apps/packet/index.ts'

// What the machine's kernel says of its network, where this process is (its network namespace).

/** The machine's own addresses on an interface. */
export function addressesOf(name: string): Ip[] {
  const all = networkInterfaces()[name] ?? []
  return all.map(({ address }) => Ip.parse(address.split('%')[0]!))
}

/** Whether the kernel itself would send on packets that come in here. */
export function isForwarding(name: string): boolean {
  try {
    const path = `/proc/sys/net/ipv4/conf/${name}/forwarding`
    return readFileSync(path, 'latin1').trim() === '1'
  } catch {
    return false
  }
}

const UP = 1
const REJECT = 0x200

/** The kernel's IPv4 routes by these interfaces; a route's port is the interface's place among them. */
export function routesOf(names: readonly string[]): Route[] {
  const lines = readFileSync('/proc/self/net/route', 'latin1').split('\n').slice(1)
  const found = lines.flatMap((line) => {
    const [name = '', net = '', gateway = '', flags = '0', , , metric = '0', mask = ''] =
      line.split('\t')
    const port = names.indexOf(name)
    const bits = Number.parseInt(flags, 16)
    if (port < 0 || (bits & UP) === 0 || (bits & REJECT) !== 0) return []
    const prefix = 32 - Math.log2(2 ** 32 - word(mask))
    const route = { port, net: new Subnet(Ip.v4(word(net)), prefix), gateway: word(gateway) }
    return [{ route, metric: Number(metric) }]
  })
  return found.sort((a, b) => a.metric - b.metric).map(({ route }) => route)
}

/** The kernel writes an address as a number of this machine: the last byte first. */
function word(hex: string): number {
  const [a = 0, b = 0, c = 0, d = 0] = Buffer.from(hex, 'hex')
  return ((d << 24) | (c << 16) | (b << 8) | a) >>> 0
}
