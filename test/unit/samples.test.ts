import { describe, expect, it } from 'vitest'
import { tcpTracker } from '../../nf-apps/index.ts'
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
