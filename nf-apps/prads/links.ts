/**
 * Two names that real prads 0.3.3 has built in otherwise than its own `mtu.sig` says: a log is compared with
 * what the program prints.
 */
const BUILT_IN: readonly [number, string][] = [
  [1408, 'virtualization'],
  [1460, '3G WAN'],
]
/** What the largest segment leaves out of the MTU: the headers of IPv4 and TCP. */
const HEADERS = 40

/** Kinds of links by their MTU, from lines `1500,"ethernet"`. */
export class LinkNames {
  private readonly names = new Map<number, string>()

  constructor(file: string, text: string, problems: string[]) {
    for (const [i, raw] of text.split('\n').entries()) {
      const line = raw.trim()
      if (line === '' || line.startsWith('#')) continue
      const m = /^(\d+),"(.*)"$/.exec(line)
      if (m) this.names.set(Number(m[1]), m[2] ?? '')
      else problems.push(`${file}:${i + 1}: expected MTU,"name of the link"`)
    }
    for (const [mtu, name] of BUILT_IN) if (this.names.size > 0) this.names.set(mtu, name)
  }

  /** The link that a maximum segment size was made for. */
  name(mss: number): string {
    const mtu = (mss + HEADERS) & 0xffff
    return this.names.get(mtu) ?? `unknown-${mtu}`
  }
}
