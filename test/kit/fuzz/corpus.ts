import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CaptureRecord, openCapture, type Random } from '../../../loadgen/index.ts'
import { build, LINK_ETHERNET, LINK_NULL, LINK_RAW } from '../../../nf-apps/packet/index.ts'
import { mutateBytes, pick } from './mutate.ts'

export interface Seed {
  readonly bytes: Uint8Array
  readonly linkType: number
}

/** The checkout, from the sources and from the built files alike. */
export const checkout = (() => {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    if (existsSync(join(at, 'samples', 'office.pcap')) || at === dirname(at)) return at
  }
})()
export const sample = join(checkout, 'samples', 'office.pcap')
const published = join(checkout, '..', 'shared', 'data', 'pcaps')

const SEEDS_EACH = 400
const SEED_BYTES_MAX = 900

let seeds: Seed[] | undefined
/** Packets of captures, and some that are seldom met there. Published captures are used where they are. */
function corpus(): readonly Seed[] {
  if (seeds) return seeds
  seeds = [...built(), ...packetsOf(sample, 3_000)]
  if (existsSync(published)) {
    for (const name of readdirSync(published).sort()) {
      seeds.push(...packetsOf(join(published, name), SEEDS_EACH))
    }
  }
  return seeds
}

function packetsOf(file: string, most: number): Seed[] {
  const reader = openCapture(file)
  const record = new CaptureRecord()
  const found: Seed[] = []
  while (found.length < most && reader.next(record)) {
    const { bytes, start, end, linkType } = record
    if (end - start <= SEED_BYTES_MAX) {
      found.push({ bytes: new Uint8Array(bytes.subarray(start, end)), linkType })
    }
  }
  reader.close()
  return found
}

function built(): Seed[] {
  const { ethernet, ipv4, ipv6, udp, tcp, vlan } = build
  const ends = { src: '10.77.0.130', dst: '198.51.100.9' }
  const six = { src: 'fd77::1', dst: '2001:db8::9' }
  const payload = new Uint8Array(64).fill(65)
  const dns = udp({ srcPort: 5353, dstPort: 53 }, payload)
  const syn = tcp({
    srcPort: 40_000,
    dstPort: 80,
    flags: 2,
    options: new Uint8Array([2, 4, 5, 180]),
  })
  const frames = [
    ethernet({}, ipv4(ends, dns)),
    ethernet({}, ipv4(ends, syn)),
    ethernet({}, ipv4({ ...ends, options: new Uint8Array(40).fill(1) }, dns)),
    ethernet({}, vlan(7, vlan(8, ipv4(ends, dns)))),
    ethernet({}, ipv6(six, dns)),
    ethernet({}, ipv6(six, syn)),
  ]
  return frames.map((bytes) => ({ bytes, linkType: LINK_ETHERNET }))
}

const OTHER_LINKS = [LINK_RAW, LINK_NULL, 113, 276, 147]
const BYTES_MAX = 2048

/** Packets nearly like those of the corpus, one after the other in one buffer. */
export class PacketMutator {
  bytes = new Uint8Array(BYTES_MAX)
  end = 0
  linkType = LINK_ETHERNET
  wireLength = 0
  timeUs = 1.7e15
  private readonly random: Random
  private readonly from: readonly Seed[]

  constructor(random: Random, from: readonly Seed[] = corpus()) {
    this.random = random
    this.from = from
  }

  next(own?: Seed): void {
    const { random } = this
    const seed = own ?? pick(this.from, random)
    this.bytes.set(seed.bytes)
    this.end = seed.bytes.length
    this.linkType = seed.linkType
    const jump = random.below(2_000)
    this.timeUs += jump === 0 ? 1e8 : jump === 1 ? -5e6 : random.below(2_000)
    for (let n = random.below(4); n > 0; n--) this.change()
    this.wireLength = this.end
    if (random.below(12) === 0) this.end = random.below(this.end + 1)
  }

  private change(): void {
    const { random, bytes } = this
    const how = random.below(16)
    const l4 = Math.min(this.end, 54)
    if (how < 4) mutateBytes(bytes, Math.min(14, this.end), l4, random)
    else if (how < 5) mutateBytes(bytes, 0, Math.min(this.end, 120), random)
    else if (how < 9) mutateBytes(bytes, l4, this.end, random)
    else if (how < 11) this.splice(l4)
    else if (how < 13) this.fromOtherHost()
    else if (how < 14) this.turnRound()
    else if (how < 15) this.repeat(l4)
    else if (random.below(4) === 0) this.linkType = pick(OTHER_LINKS, random)
  }

  /** Another packet's payload. */
  private splice(at: number): void {
    const other = pick(this.from, this.random).bytes
    const piece = other.subarray(Math.min(54, other.length))
    this.bytes.set(piece, at)
    this.end = Math.max(this.end, at + piece.length)
  }

  private fromOtherHost(): void {
    const at = pick([29, 33, 35, 37], this.random)
    if (at < this.end) this.bytes[at] = this.random.below(256)
  }

  /** As the answer would come: addresses and ports exchanged. */
  private turnRound(): void {
    const { bytes } = this
    if (this.end < 38) return
    const ends = bytes.slice(26, 38)
    bytes.set(ends.subarray(4, 8), 26)
    bytes.set(ends.subarray(0, 4), 30)
    bytes.set(ends.subarray(10, 12), 34)
    bytes.set(ends.subarray(8, 10), 36)
  }

  /** A stretch of the payload once more. */
  private repeat(at: number): void {
    const { random, bytes } = this
    if (this.end <= at) return
    const from = at + random.below(this.end - at)
    const piece = bytes.slice(from, Math.min(this.end, from + random.below(200)))
    const end = Math.min(BYTES_MAX, this.end + piece.length)
    bytes.set(piece.subarray(0, end - this.end), this.end)
    this.end = end
  }
}
