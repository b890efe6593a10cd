import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter, PROTOCOL_VERSION } from '../../bus/index.ts'
import { type Entry, Intake, Steerer } from '../../loadgen/index.ts'
import type { Packet } from '../../nf-apps/packet/index.ts'
import { firstView, SLOT_BITS } from '../../placement/index.ts'

const PACKETS = 10
const BYTES = 60
const STEERER = 2

/** A batch as a steerer sends it. */
function batch(): Uint8Array {
  const w = new ByteWriter(4096)
  const out = { begin: () => w, end: () => {}, creditLeft: () => 1 }
  const steerer = new Steerer({
    out,
    self: STEERER,
    slotBits: SLOT_BITS,
    wallMs: () => 0,
    flipsPerStep: 1,
    onEvent: () => {},
  })
  steerer.onView(firstView({ id: 'i', role: 'instance', protocol: PROTOCOL_VERSION, schema: '' }))
  const bytes = new Uint8Array(BYTES)
  const packet = { bytes, start: 0, end: BYTES, wireLength: BYTES, timeUs: 1, linkType: 1 }
  for (let n = 0; n < PACKETS; n++) steerer.offer(packet, n << 20)
  steerer.flush()
  return w.written().slice()
}

function intakeOf(
  begin: () => ByteWriter,
  handler: ConstructorParameters<typeof Intake>[0]['handler'],
): Intake {
  return new Intake({
    out: { begin, end: () => {}, consumed: () => {} },
    clock: { now: () => 0, after: () => ({ cancel: () => {} }), soon: () => {} },
    slotBits: SLOT_BITS,
    handler,
    onError: () => 0,
    pressed: () => false,
    receiverOf: () => 1,
    isGone: () => false,
    foresees: () => false,
    foresee: () => {},
    onFlipped: () => {},
    wake: () => {},
    wallMs: () => 0,
  })
}

function taken(bytes: Uint8Array, throwsAt: number) {
  const w = new ByteWriter(4096)
  let handled = 0
  const intake = intakeOf(
    () => w,
    () => {
      if (++handled === throwsAt) throw new Error('a mistake of the author')
      return 1
    },
  )
  let failed = false
  try {
    intake.onPackets(STEERER, new ByteReader(bytes))
  } catch {
    failed = true
  }
  const done = new ByteReader(w.written())
  const [, last, forwarded, dropped] = [done.u32(), done.u8(), done.u32(), done.u32()]
  const { packets, bytes: size, errors } = intake.stats
  return { failed, handled, packets, size, errors, last, forwarded, dropped, idle: intake.idle }
}

describe('the intake counts each packet once, and answers for it', () => {
  const all = {
    failed: false,
    handled: PACKETS,
    packets: PACKETS,
    size: PACKETS * BYTES,
    errors: 0,
  }

  it('when all are well', () => {
    const verdicts = { last: 1, forwarded: PACKETS, dropped: 0, idle: true }
    expect(taken(batch(), 0)).toEqual({ ...all, ...verdicts })
  })

  it.each([1, 4, PACKETS])('when the handler throws at packet %i', (throwsAt) => {
    const verdicts = { last: 1, forwarded: PACKETS - 1, dropped: 1, idle: true }
    expect(taken(batch(), throwsAt)).toEqual({ ...all, ...verdicts, errors: 1 })
  })

  it('when the batch breaks off within a packet', () => {
    const told = taken(batch().slice(0, -BYTES * 3), 0)
    expect(told.failed).toBe(true)
    expect(told.packets).toBeGreaterThan(0)
    expect(told.packets).toBeLessThan(PACKETS)
    const { handled, packets, size, forwarded } = told
    expect([packets, size, forwarded]).toEqual([handled, handled * BYTES, handled])
    expect(told).toMatchObject({ errors: 0, last: 1, dropped: 0, idle: true })
  })
})

it('sends on what each packet of a batch emits, though some are suspended and other batches come', async () => {
  const told: ByteWriter[] = []
  const begin = () => {
    const w = new ByteWriter()
    told.push(w)
    return w
  }
  let goOn = () => {}
  const gate = new Promise<void>((resolve) => {
    goOn = resolve
  })
  let round = 0
  const say = (p: Packet, what: string, entry: Entry): 1 => {
    entry.event(`${round} ${p.index} ${what}`)
    return 1
  }
  const intake = intakeOf(begin, (p, entry) => {
    if (round > 0 || p.index % 4 > 0) return say(p, 'x'.repeat(p.index * 40), entry)
    say(p, 'waits', entry)
    return gate.then(() => say(p, 'goes on', entry))
  })
  for (; round < 3; round++) intake.onPackets(STEERER, new ByteReader(batch()))
  goOn()
  await new Promise((resolve) => setImmediate(resolve))
  const lines = told.flatMap((w) => {
    const r = new ByteReader(w.written())
    r.skip(13)
    const each = Array.from({ length: r.u32() }, () => {
      r.skip(18) // index, time, link type
      return new TextDecoder().decode(r.block())
    })
    expect(r.left).toBe(0)
    return each
  })
  const expected = Array.from({ length: PACKETS }, (_, i) => {
    const long = 'x'.repeat(i * 40)
    if (i % 4 > 0) return [0, 1, 2].map((n) => `${n} ${i} ${long}`)
    // Those of later batches wait behind it.
    return [`0 ${i} waits`, `3 ${i} goes on`, `3 ${i} ${long}`, `3 ${i} ${long}`]
  })
  expect(lines.sort()).toEqual(expected.flat().sort())
})
