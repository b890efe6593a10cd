interface VendorEntry {
  readonly octets: Uint8Array
  /** Leading bits that count. */
  readonly bits: number
  readonly vendor: string
}

/** Of real prads: which of several prefixes of an address is found depends on it. */
const BUCKETS = 19_963
/** How many buckets behind its own an address is looked for, at each length. */
const BUCKETS_NEAR = 255

/**
 * Makers of network cards by the first bits of the address, from a file in Wireshark's `manuf` form:
 * `00:1B:21 Vendor # comment`, with `/28` or `/36` where more than whole octets are written than count.
 *
 * Real prads looks from the longest to the shortest whole-octet prefix, each in its bucket, then back through
 * the buckets next to these. A /28 is therefore found only where its neighbours let it be; kept, to agree.
 */
export class MacVendors {
  private readonly buckets = new Map<number, VendorEntry[]>()
  private entries = 0

  constructor(file: string, text: string, problems: string[]) {
    for (const [i, raw] of text.split('\n').entries()) {
      const line = raw.trim()
      if (line === '' || line.startsWith('#')) continue
      const entry = parseEntry(line)
      if (!entry) {
        problems.push(`${file}:${i + 1}: expected ADDRESS[/BITS] VENDOR`)
        continue
      }
      const bucket = bucketOf(entry.octets, entry.octets.length)
      const here = this.buckets.get(bucket)
      if (here) here.push(entry)
      else this.buckets.set(bucket, [entry])
      this.entries++
    }
  }

  get size(): number {
    return this.entries
  }

  /** The vendor of a 48-bit address, undefined if none is known. */
  vendor(mac: number): string | undefined {
    const octets = new Uint8Array(6)
    for (let i = 5, rest = mac; i >= 0; i--, rest = Math.floor(rest / 256)) octets[i] = rest % 256
    for (let length = 6; length > 0; length--) {
      const found = this.inBucket(bucketOf(octets, length), octets)
      if (found) return found
    }
    for (let length = 1; length <= 6; length++) {
      const own = bucketOf(octets, length)
      for (let near = 1; near <= BUCKETS_NEAR; near++) {
        const found = this.inBucket((own + near) % BUCKETS, octets)
        if (found) return found
      }
    }
  }

  private inBucket(bucket: number, octets: Uint8Array): string | undefined {
    return this.buckets.get(bucket)?.find((entry) => covers(entry, octets))?.vendor
  }
}

function covers({ octets, bits }: VendorEntry, address: Uint8Array): boolean {
  const whole = bits >>> 3
  for (let i = 0; i < whole; i++) if (octets[i] !== address[i]) return false
  const rest = bits & 7
  return (
    rest === 0 || (((octets[whole] ?? 0) ^ address[whole]!) & (0xff << (8 - rest)) & 0xff) === 0
  )
}

/** The exclusive or of the octets, shifted by turns into the upper three bytes of a word. */
function bucketOf(octets: Uint8Array, length: number): number {
  let hash = 0
  for (let i = 0; i < length; i++) hash ^= octets[i]! << (24 - ((i * 8) % 24))
  return (hash >>> 0) % BUCKETS
}

/** One to six octets, and how many of their bits count; undefined: it is no such line. */
function parseEntry(line: string): VendorEntry | undefined {
  const [, address, mask, vendor] = ENTRY.exec(line) ?? []
  if (address === undefined || vendor === undefined) return undefined
  const pairs = address.match(/[0-9a-f]{2}/gi) ?? []
  const octets = Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16))
  const bits = mask === undefined ? octets.length * 8 : Number(mask)
  return bits >= 1 && bits <= octets.length * 8 ? { octets, bits, vendor } : undefined
}

const ENTRY = /^([0-9a-f]{2}(?:[:.-]?[0-9a-f]{2}){0,5})(?:\/(\d{1,2}))?\s+(\S+)/i
