import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { State } from '../../actors/index.ts'
import { LINK_ETHERNET, Packet, steeringHash } from '../../nf-apps/packet/index.ts'
import { assetLog, type FoundAsset, host, prads } from '../../nf-apps/prads/index.ts'
import { pradsPeer, Solo } from '../kit/index.ts'

const sample = fileURLToPath(new URL('../../samples/office.pcap', import.meta.url))

const Asset = prads.state.assets.type
type AssetState = State<typeof Asset.fields>
const note = untethered(Asset.signatures)
type Note = Parameters<typeof note.run>[1]

/** The method as the definition has it; its own types are those that stubs are made of. */
function untethered<M extends { note: object }>(_types: M | undefined): M['note'] {
  const method = Asset.methods.note
  if (!method) throw new Error('an asset takes notes')
  return method
}

/** As a method runs at the asset's home. */
function apply(state: AssetState, notes: readonly Note[]): AssetState {
  for (const n of notes) note.run(state, structuredClone(n))
  return state
}
function fresh(): AssetState {
  const fields = Object.entries(Asset.fields).map(([name, field]) => [name, field.initial()])
  return Object.fromEntries(fields)
}

/** Values are numbered as they come; here each sighting has its own. */
function canonical({ offers, claims, ...rest }: AssetState) {
  const whole = <V>({
    first,
    values,
    later,
  }: {
    first: number[]
    values: V[]
    later: unknown
  }) => ({
    first: first.map((n, i) => (i % 3 === 2 ? values[n] : n)),
    later,
  })
  const all = Object.entries(offers).map(([key, timeline]) => [key, whole(timeline)])
  return { ...rest, offers: Object.fromEntries(all), claims: whole(claims) }
}

/** The notes that a run over the sample sends, by asset. */
function notesOfSample(packets: number): Map<string, Note[]> {
  const solo = new Solo(prads, { switches: 'MAui' })
  const told = new Map<string, Note[]>()
  const { assets } = solo.state
  const spied = {
    ...solo.state,
    assets: {
      ...assets,
      at: (key: Parameters<typeof assets.at>[0]) => ({
        note: (n: Note) => {
          const name = host.text(key)
          told.set(name, [...(told.get(name) ?? []), structuredClone(n)])
        },
      }),
    },
  }
  for (const p of pradsPeer.packetsOf(sample)) {
    if (p.index >= packets) break
    void prads.onPacket(p, spied, solo.env, {
      emit() {},
      event() {},
      takesEvents: false,
      steersAlike: () => true,
      lowUs: () => 0,
    })
  }
  return told
}

const events = fc.record({
  index: fc.integer({ min: 0, max: 2000 }),
  application: fc.constantFrom('@www', 'nginx', 'apache', 'caddy'),
  mac: fc.integer({ min: 1, max: 3 }),
  window: fc.integer({ min: 0, max: 5 }),
  match: fc.integer({ min: -1, max: 1 }),
})
/** Sightings of one asset: one of each kind a packet. */
const notes = fc.uniqueArray(events, { selector: (e) => e.index, maxLength: 700 }).map((all) =>
  all.map(({ index, application, mac, window, match }): Note => {
    const seen = { index, seconds: index }
    const stack = {
      window,
      ttl: 64,
      df: 1,
      size: 60,
      options: [],
      mss: 0,
      scale: 0,
      quirks: 0,
      stamp: 0,
    }
    const offer = { vlan: 0, role: 2, ttl: 64, service: 'http', application }
    return {
      first: index,
      last: index,
      evidence: [
        { what: 'offer', ...seen, protocol: 6, port: 80, value: offer },
        { what: 'stack', ...seen, ...stack, vlan: 0, kind: 0, port: 80, match, text: '' },
        { what: 'claim', ...seen, value: { mac, vlan: 0 } },
      ],
    }
  }),
)

describe('what an asset knows', () => {
  it('is the same in whichever order its notes arrive, merged or not', () => {
    const property = fc.property(notes, fc.infiniteStream(fc.nat()), (all, random) => {
      const expected = apply(fresh(), all)
      const other = apply(fresh(), merged(shuffled(all, random), random))
      expect(canonical(other)).toEqual(canonical(expected))
    })
    fc.assert(property, { numRuns: 60 })
  })

  it.runIf(existsSync(sample))('over the sample, too: the log is the same', () => {
    const told = notesOfSample(6000)
    const { signatures } = new Solo(prads).env
    const log = (order: (all: Note[]) => Note[]) => {
      const found = [...told].map(
        ([name, all]): FoundAsset => ({ key: host.parse(name), state: apply(fresh(), order(all)) }),
      )
      return assetLog(found, signatures)
    }
    const expected = log((all) => all)
    expect(expected.length).toBeGreaterThan(50)
    const property = fc.property(fc.infiniteStream(fc.nat()), (random) => {
      expect(log((all) => merged(shuffled(all, random), random))).toEqual(expected)
    })
    fc.assert(property, { numRuns: 5 })
  })
})

describe('any bytes', () => {
  it.runIf(existsSync(sample))('make no packet throw, and a log of whole lines', async () => {
    const frames: Uint8Array[] = []
    for (const p of pradsPeer.packetsOf(sample)) {
      if (p.index % 97 === 0) frames.push(new Uint8Array(p.bytes.subarray(p.start, p.end)))
    }
    const change = fc.record({ frame: fc.nat(), cut: fc.nat(), at: fc.nat(), to: fc.nat(255) })
    const property = fc.asyncProperty(fc.array(change, { maxLength: 200 }), async (changes) => {
      const solo = new Solo(prads, { switches: 'MAui' })
      const p = new Packet()
      for (const [index, { frame, cut, at, to }] of changes.entries()) {
        const bytes = frames[frame % frames.length]!.slice()
        bytes[at % Math.min(bytes.length, 80)] = to
        const end = cut % 4 === 0 ? cut % (bytes.length + 1) : bytes.length
        p.load(bytes, 0, end, LINK_ETHERNET, bytes.length, index * 1e5, index * 1e5, index, 0)
        p.hash = steeringHash(p)
        void solo.packet(p)
      }
      const lines = await solo.result()
      for (const line of lines.slice(1)) expect(line).toMatch(/^[0-9a-f.:]+,\d+,\d+,\d+,[A-Z]+,\[/s)
    })
    await fc.assert(property, { numRuns: 100 })
  })
})

function shuffled<T>(all: readonly T[], random: fc.Stream<number>): T[] {
  const out = all.slice()
  for (let i = out.length - 1; i > 0; i--) {
    const j = (random.next().value ?? 0) % (i + 1)
    ;[out[i], out[j]] = [out[j]!, out[i]!]
  }
  return out
}

/** Neighbours as one, here and there, as an outbox does it. */
function merged(all: readonly Note[], random: fc.Stream<number>): Note[] {
  const out: Note[] = []
  for (const n of all) {
    const last = out[out.length - 1]
    const join = last && (random.next().value ?? 0) % 3 > 0
    if (join) out[out.length - 1] = note.merge?.(last, structuredClone(n)) ?? n
    else out.push(structuredClone(n))
  }
  return out
}
