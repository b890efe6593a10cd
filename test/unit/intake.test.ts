import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter, PROTOCOL_VERSION } from '../../bus/index.ts'
import { Intake, Steerer } from '../../loadgen/index.ts'
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
  })
  steerer.onView(firstView({ id: 'i', role: 'instance', protocol: PROTOCOL_VERSION, schema: '' }))
  const bytes = new Uint8Array(BYTES)
  const packet = { bytes, start: 0, end: BYTES, wireLength: BYTES, timeUs: 1, linkType: 1 }
  for (let n = 0; n < PACKETS; n++) steerer.offer(packet, n << 20)
  steerer.flush()
  return w.written().slice()
}

function taken(bytes: Uint8Array, throwsAt: number) {
  const w = new ByteWriter(4096)
  let handled = 0
  const intake = new Intake({
    out: { begin: () => w, end: () => {}, consumed: () => {} },
    clock: { now: () => 0, after: () => ({ cancel: () => {} }), soon: () => {} },
    slotBits: SLOT_BITS,
    handler: () => {
      if (++handled === throwsAt) throw new Error('a mistake of the author')
      return 1
    },
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
