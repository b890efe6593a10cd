import { f64, multiWriter, plain, u32 } from '../../actors/index.ts'

/** Ports of one host that the pool wants back, if they name nothing. */
export interface Inquiry {
  readonly owner: number
  readonly ports: readonly number[]
}
export interface Taken {
  /** Ports that are the asker's from now on. */
  readonly ports: readonly number[]
  /** Less than half of the ports are left. */
  readonly tight: boolean
  /** Where nothing is left: who may have some to spare. */
  readonly inquiries: readonly Inquiry[]
  /** All have been asked already for what no packet still to come could name: now for all that is over at this one's time. */
  readonly isLast: boolean
  /** Others are asking already: it is worth coming again. */
  readonly again: boolean
}
export interface Wanted {
  /** The inside host. */
  readonly host: number
  readonly port: number
  /** Nothing but the wanted port and what lies around it. */
  readonly only: boolean
  readonly first: number
  readonly last: number
  readonly nowUs: number
}

/** Ports that are handed out at once, so that a host's next flows find one at hand. Fewer where few are left. */
export const BLOCK = 64
/** One grant takes no more than this part of what is left. */
const SHARE = 16
/** Of one address, those outside of the range included. */
const PORTS = 0x10000
const BLOCKS = PORTS / BLOCK
/** Hosts that are asked at once for what they have to spare. */
const INQUIRIES_MAX = 16
/** When nobody had anything to spare, nobody is asked again for so long (µs): a full NAT drops at little cost. */
const BARREN_US = 1_000_000
/** Added to a port's owner while the port changes hands. */
const BUSY = 2 ** 32

export interface Table {
  /** By port; made on the first call. */
  owners: number[]
  /** Ports of each block that are nobody's. */
  left: number[]
}
interface PoolState {
  table: Table
  total: number
  given: number
  cursor: number
  asked: number
  passed: number
  barrenUs: number
}

/**
 * Whose each port of a public address is, under one protocol: an inside host's (as a word), or nobody's (0).
 *
 * A port is in one hand at a time. It changes hands in two ways, and is busy from the first call to the last:
 * granted (`take`, the host's `own`, `settled`), and asked back (`take`, the host's `release`, `returned`). What is busy
 * is neither granted nor asked for. So no order of calls, and no host that was forgotten, makes two owners of a
 * port; at worst one is lost with the instance that died between two calls.
 */
export const Pool = multiWriter(
  'nat-pool',
  {
    table: plain<Table>('nat-ports', () => ({ owners: [], left: [] })),
    total: u32,
    given: u32,
    /** The block that was looked at last. */
    cursor: u32,
    /** The port behind the last one asked for. */
    asked: u32,
    /** Ports passed since one was returned. */
    passed: u32,
    barrenUs: f64,
  },
  {
    take(s, w: Wanted): Taken {
      if (s.table.owners.length === 0) lay(s, w)
      const wanted = w.port >= w.first && w.port <= w.last && s.table.owners[w.port] === 0
      const ports = wanted || (!w.only && s.given < s.total) ? grant(s, w, wanted) : []
      const tight = s.given * 2 > s.total
      const inquiries: Inquiry[] = []
      const isLast = s.passed >= PORTS
      let again = false
      if (ports.length === 0 && !w.only && w.nowUs >= s.barrenUs) {
        again = inquire(s, inquiries)
        if (s.passed >= 2 * PORTS && !again) {
          s.barrenUs = w.nowUs + BARREN_US
          s.passed = 0
        }
      }
      return { ports, tight, inquiries, isLast, again }
    },
    /** The host has the ports that were granted to it. */
    settled(s, ports: readonly number[]) {
      for (const port of ports) s.table.owners[port] = s.table.owners[port]! % BUSY
    },
    /** What came of an inquiry. */
    returned(s, { ports }: Inquiry, given: readonly number[]) {
      for (const port of ports) s.table.owners[port] = s.table.owners[port]! % BUSY
      for (const port of given) {
        s.table.owners[port] = 0
        s.table.left[Math.floor(port / BLOCK)]!++
      }
      s.given -= given.length
      if (given.length === 0) return
      s.passed = 0
      s.barrenUs = 0
    },
    ownerOf: (s, port: number) => (s.table.owners[port] ?? 0) % BUSY,
  },
)

function lay(s: PoolState, { first, last }: Wanted): void {
  s.table.owners = new Array<number>(PORTS).fill(0)
  s.table.left = new Array<number>(BLOCKS).fill(0)
  for (let port = first; port <= last; port++) s.table.left[Math.floor(port / BLOCK)]!++
  // What is outside of the range is nobody's for ever.
  s.total = last - first + 1
}

/** A block, or a part of it: around the wanted port, else the next on its side of 1024. */
function grant(s: PoolState, w: Wanted, wanted: boolean): number[] {
  const low = w.port < 1024 && w.first < 1024
  let block = wanted ? Math.floor(w.port / BLOCK) : low ? 0 : Math.max(s.cursor, 1024 / BLOCK)
  for (let i = 0; s.table.left[block] === 0 && i < BLOCKS; i++) block = (block + 1) % BLOCKS
  if (!wanted && !low) s.cursor = block
  const most = Math.ceil((s.total - s.given) / SHARE)
  const ports: number[] = wanted ? [w.port] : []
  for (let port = block * BLOCK; port < (block + 1) * BLOCK && ports.length < most; port++) {
    const out = port < w.first || port > w.last || (wanted && port === w.port)
    if (!out && s.table.owners[port] === 0) ports.push(port)
  }
  for (const port of ports) s.table.owners[port] = w.host + BUSY
  s.table.left[block]! -= ports.length
  s.given += ports.length
  return ports
}

/** Finds the next ports to ask for, a host and block at a time; true if others are asking for some of what it passed. */
function inquire(s: PoolState, into: Inquiry[]): boolean {
  let busy = false
  for (let i = 0; i < BLOCKS && into.length < INQUIRIES_MAX; i++) {
    const first = s.asked
    const byOwner = new Map<number, number[]>()
    for (let port = first; port < first + BLOCK; port++) {
      const owner = s.table.owners[port]!
      if (owner >= BUSY) busy = true
      if (owner === 0 || owner >= BUSY) continue
      s.table.owners[port] = owner + BUSY
      const ports = byOwner.get(owner)
      if (ports) ports.push(port)
      else byOwner.set(owner, [port])
    }
    for (const [owner, ports] of byOwner) into.push({ owner, ports })
    s.passed += BLOCK
    s.asked = (first + BLOCK) % PORTS
  }
  return busy
}
