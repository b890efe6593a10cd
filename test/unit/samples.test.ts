import { describe, expect, it } from 'vitest'
import { reassembly, tcpTracker } from '../../nf-apps/index.ts'
import {
  build,
  LINK_ETHERNET,
  Packet,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
} from '../../nf-apps/packet/index.ts'
import { Solo } from '../kit/index.ts'

const SECOND_US = 1e6

function packetOf(frame: Uint8Array, index: number, us = index * SECOND_US): Packet {
  const { length } = frame
  return new Packet().load(frame, 0, length, LINK_ETHERNET, length, us, us, index, 0)
}

describe('tcp-tracker', () => {
  /** Segments of one connection, each by its side and its flags; what became of them, and the result. */
  const follow = async (client: string, server: string, segments: ['>' | '<', number][]) => {
    const solo = new Solo(tcpTracker)
    const verdicts = segments.map(([way, flags], i) => {
      const forth = way === '>'
      const ends = forth ? { src: client, dst: server } : { src: server, dst: client }
      const ports = forth ? { srcPort: 1024, dstPort: 80 } : { srcPort: 80, dstPort: 1024 }
      const frame = build.ethernet({}, build.ipv4(ends, build.tcp({ ...ports, flags })))
      return solo.packet(packetOf(frame, i))
    })
    return { verdicts, lines: await solo.result() }
  }
  const opening: ['>' | '<', number][] = [
    ['>', TCP_SYN],
    ['<', TCP_SYN | TCP_ACK],
    ['>', TCP_ACK],
  ]

  // The key's lower end is the client's once, and once the server's.
  it.each([
    ['10.0.0.1', '10.0.0.2'],
    ['10.0.0.2', '10.0.0.1'],
  ])('%s to %s: over when both sides have said so, the last ACK passes', async (a, b) => {
    const { verdicts, lines } = await follow(a, b, [
      ...opening,
      ['<', TCP_FIN | TCP_ACK],
      ['>', TCP_ACK],
      ['>', TCP_FIN | TCP_ACK],
      ['<', TCP_ACK],
    ])
    expect(verdicts).toEqual([1, 1, 1, 1, 1, 1, 1])
    expect(lines[0]).toBe('opened 1 closed 1 reset 0 refused 0')
    expect(lines[1]).toMatch(/ stage 4 7$/)
  })

  it('a FIN said twice by one side closes nothing', async () => {
    const { lines } = await follow('10.0.0.1', '10.0.0.2', [
      ...opening,
      ['>', TCP_FIN | TCP_ACK],
      ['>', TCP_FIN | TCP_ACK],
    ])
    expect(lines[0]).toBe('opened 1 closed 0 reset 0 refused 0')
  })

  it('what nobody opened, and what comes behind a reset, is refused', async () => {
    const { verdicts, lines } = await follow('10.0.0.1', '10.0.0.2', [
      ['>', TCP_ACK],
      ...opening,
      ['<', TCP_RST],
      ['>', TCP_ACK],
    ])
    expect(verdicts).toEqual([0, 1, 1, 1, 1, 0])
    expect(lines[0]).toBe('opened 1 closed 0 reset 1 refused 2')
  })
})

describe('reassembly', () => {
  /** Segments of one direction, by sequence number and text; the one line of the result. */
  const stream = async (...segments: [number, string][]) => {
    const solo = new Solo(reassembly)
    const send = (seq: number, flags: number, text: string, i: number) => {
      const part = build.tcp({ srcPort: 1024, dstPort: 80, seq, flags }, text)
      solo.packet(
        packetOf(build.ethernet({}, build.ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, part)), i),
      )
    }
    send((segments[0]![0] - 1) >>> 0, TCP_SYN, '', 0)
    for (const [i, [seq, text]] of segments.entries()) send(seq, TCP_ACK, text, i + 1)
    return (await solo.result())[0]?.split(':80 ')[1]
  }

  it('makes the same stream of segments in any order, said twice or overlapping', async () => {
    const whole = await stream([100, 'abcdefgh'])
    expect(whole).toMatch(/^8 [0-9a-f]{8}$/)
    expect(await stream([100, 'ab'], [104, 'ef'], [106, 'gh'], [102, 'cd'])).toBe(whole)
    expect(await stream([100, 'ab'], [104, 'efgh'], [104, 'ef'], [101, 'bcde'])).toBe(whole)
    expect(await stream([100, 'ab'], [102, 'dcefgh'])).not.toBe(whole)
  })

  it('goes on where sequence numbers wrap, and holds what a gap is before', async () => {
    const end = 2 ** 32 - 2
    expect(await stream([end, 'ab'], [2, 'ef'], [0, 'cd'])).toBe(await stream([9, 'abcdef']))
    expect(await stream([100, 'ab'], [104, 'ef'])).toMatch(/^2 [0-9a-f]{8} held 1$/)
  })
})
