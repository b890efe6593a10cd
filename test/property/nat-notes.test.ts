import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nat } from '../../nf-apps/nat/index.ts'
import { Ip, PROTO_TCP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../nf-apps/packet/index.ts'
import { nat as natKit } from '../kit/index.ts'

const { Bench, packetOf, tcp } = natKit
type NatState = natKit.Bench['solo']['state']

const INSIDE = '10.0.0.1:5000'
const PUBLIC = '192.0.2.1:5000'
const REMOTE = '198.51.100.1:80'
const LEASE_US = 30e6
const host = { protocol: PROTO_TCP, address: Ip.parse('10.0.0.1').d }

/** A segment of one connection, or of the next ones between the same ends. */
interface Step {
  readonly out: boolean
  readonly flags: number
  readonly seconds: number
  /** So many notes that are under way reach the host before it. */
  readonly heard: number
}
const step: fc.Arbitrary<Step> = fc.record({
  out: fc.boolean(),
  flags: fc.constantFrom(
    TCP_SYN,
    TCP_SYN | TCP_ACK,
    TCP_ACK,
    TCP_ACK,
    TCP_FIN | TCP_ACK,
    TCP_FIN | TCP_ACK,
    TCP_RST,
  ),
  seconds: fc.constantFrom(0.001, 0.001, 1, 25, 35, 200),
  heard: fc.nat(2),
})
const OPENED: readonly Step[] = [
  { out: true, flags: TCP_SYN, seconds: 1, heard: 0 },
  { out: false, flags: TCP_SYN | TCP_ACK, seconds: 0.01, heard: 0 },
  { out: true, flags: TCP_ACK, seconds: 0.01, heard: 0 },
]
const steps = fc.array(step, { maxLength: 14 }).map((more) => [...OPENED, ...more])

const frameOf = ({ out, flags }: Step): Uint8Array =>
  out ? tcp(INSIDE, REMOTE, flags) : tcp(REMOTE, PUBLIC, flags)

/** The NAT's actors, whose notes to hosts are kept until they are let go. */
function keeping(state: NatState, notes: (() => void)[]): NatState {
  const { hosts } = state
  const at: typeof hosts.at = (key) => {
    const stub = hosts.at(key)
    return {
      ...stub,
      heardOut: (ask) => void notes.push(() => stub.heardOut(ask)),
      heardIn: (ask) => void notes.push(() => stub.heardIn(ask)),
    }
  }
  return { ...state, hosts: { ...hosts, at } }
}

/** Plays a connection; answers when its session is over by what the host knows at the end, and how many notes a SYN overtook. */
async function untilOf(all: readonly Step[], late: boolean) {
  const bench = new Bench()
  const { state, env } = bench.solo
  const notes: (() => void)[] = []
  const seen = keeping(state, notes)
  const output = {
    emit: () => {},
    event: () => {},
    takesEvents: false,
    steersAlike: () => true,
    lowUs: () => 0,
  }
  let overtaken = 0
  for (const s of all) {
    bench.pass(s.seconds)
    for (let n = late ? s.heard : notes.length; n > 0; n--) notes.shift()?.()
    if (s.flags === TCP_SYN) overtaken += notes.length
    await nat.onPacket(packetOf(frameOf(s), bench.us, 0), seen, env, output)
    if (!late) for (const note of notes.splice(0)) note()
  }
  for (const note of notes) note()
  const [, mapping] = Object.entries((await state.hosts.lookup(host))?.mappings ?? {})[0] ?? []
  return { us: mapping?.sessions[0]?.untilUs ?? 0, overtaken }
}

describe('what a host is told', () => {
  it('shortens no life whenever it is heard, and closes nothing that was opened since', async () => {
    let longer = 0
    let overtaken = 0
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const inTime = await untilOf(all, false)
        const heard = await untilOf(all, true)
        // Until a host hears of the end it gives leases, and packets under a lease are not noted: that is in each life.
        expect(heard.us).toBeGreaterThanOrEqual(inTime.us - LEASE_US)
        if (heard.overtaken === 0) expect(heard.us).toBeLessThanOrEqual(inTime.us)
        if (heard.us > inTime.us) longer++
        overtaken += heard.overtaken
      }),
      { numRuns: 1000 },
    )
    // Both kinds came up.
    expect(overtaken).toBeGreaterThan(longer)
    expect(longer).toBeGreaterThan(0)
  })

  it('lets through what it does where hosts are asked', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const [asks, tells] = [new Bench(), new Bench()]
        tells.solo.takesEvents = false
        for (const s of all) {
          for (const bench of [asks, tells]) {
            bench.pass(s.seconds)
            await bench.send(frameOf(s))
          }
        }
        expect(tells.outs).toEqual(asks.outs)
        expect(await tells.result()).toEqual(await asks.result())
      }),
      { numRuns: 300 },
    )
  })
})
