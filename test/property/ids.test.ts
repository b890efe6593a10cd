import { decode, encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type IdsActors, ids } from '../../nf-apps/ids/index.ts'
import { build } from '../../nf-apps/packet/index.ts'
import { Solo } from '../kit/index.ts'
import { CLIENT, conversation, packets, rulesFile, SERVER, sids } from '../unit/ids-run.ts'

const { ethernet, icmp, ipv4 } = build

describe('streams', () => {
  const rules = [
    'alert tcp any any -> any any (content:"needle"; sid:1;)',
    'alert tcp any any -> any any (content:"/needle"; http_uri; sid:2;)',
    'alert tcp any any -> any any (content:"body needle"; http_client_body; sid:3;)',
  ].join('\n')
  const request = 'POST /needle HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nbody needle'

  it('say the same however they are cut', async () => {
    const cuts = fc.array(fc.integer({ min: 1, max: request.length - 1 }), { maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(cuts, async (places) => {
        const at = [0, ...new Set(places.sort((a, b) => a - b)), request.length]
        const turns = at.slice(1).map((end, i) => ['client', request.slice(at[i], end)] as const)
        expect((await sids(rules, conversation(turns))).sort()).toEqual([1, 2, 3])
      }),
      { numRuns: 30 },
    )
  })

  it('bear any frames', async () => {
    const frames = conversation([
      ['client', request],
      ['server', 'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n'],
    ])
    const mutation = fc.record({ frame: fc.nat(), at: fc.nat(), byte: fc.nat(255) })
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { maxLength: 12 }), async (mutations) => {
        const copies = frames.map((frame) => frame.slice())
        for (const { frame, at, byte } of mutations) {
          const bytes = copies[frame % copies.length]!
          bytes[14 + (at % (bytes.length - 14))] = byte
        }
        await sids(rules, copies)
      }),
      { numRuns: 60 },
    )
  })
})

/**
 * Many instances, without their messages: each packet is inspected by any of three engines, its flow's state is
 * encoded and decoded before each turn, and what goes to other actors arrives late and in any order.
 */
describe('on many instances', () => {
  const rules = [
    'alert tcp any any -> any any (content:"login"; flowbits:set,asked; noalert; sid:1;)',
    'alert tcp any any -> any any (content:"530 "; flowbits:isset,asked; sid:2;)',
    'alert tcp any any -> any any (content:"530 "; detection_filter:track by_src, count 2, seconds 60; sid:3;)',
    'alert icmp any any -> any any (itype:8; threshold:type both, track by_dst, count 4, seconds 2; sid:4;)',
    'alert tcp any any -> any any (content:"/login"; http_uri; sid:5;)',
    'pass tcp any any -> any any (content:"friend"; sid:6;)',
  ].join('\n')
  const talk = (port: number, word: string) =>
    conversation(
      [
        ['client', `GET /${word} HTTP/1.1\r\nHost: h\r\n\r\n`],
        ['server', 'HTTP/1.1 530 530 no\r\nContent-Length: 2\r\n\r\nhi'],
      ],
      [port, 80],
    )
  const talks = [
    talk(1000, 'login'),
    talk(1001, 'friend'),
    talk(1002, 'login'),
    talk(1003, 'login'),
  ]
  const pings = Array.from({ length: 12 }, () =>
    ethernet({}, ipv4({ src: CLIENT, dst: SERVER }, icmp({}, 'p'))),
  )
  const mixed: Uint8Array[] = []
  for (let i = 0; i < 20; i++) {
    for (const frames of [...talks, pings]) if (frames[i]) mixed.push(frames[i]!)
  }

  it('alerts are those of one', async () => {
    const { file, remove } = rulesFile(rules)
    try {
      const options = { rules: [file], format: 'fast' }
      const alone = new Solo(ids, options)
      for (const p of packets(mixed)) await alone.packet(p)
      const expected = await alone.result()
      expect(expected.length).toBeGreaterThan(5)
      const order = fc.infiniteStream(fc.nat())
      await fc.assert(
        fc.asyncProperty(order, async (numbers) => {
          expect(await scattered(options, numbers)).toEqual(expected)
        }),
        { numRuns: 20 },
      )
    } finally {
      remove()
    }
  })

  async function scattered(options: object, numbers: Iterator<number>): Promise<string[]> {
    const next = (below: number): number => numbers.next().value % below
    const solo = new Solo(ids, { ...options })
    const envs = [0, 1, 2].map(() => ids.setup({ ...options }))
    const late: (() => void)[] = []
    const deliver = () => late.splice(next(late.length), 1)[0]!()
    const state = delayed(solo.state, late)
    for (const p of packets(mixed)) {
      await ids.onPacket(p, state, envs[next(3)]!, {
        emit() {},
        event() {},
        takesEvents: false,
        steersAlike: () => true,
        lowUs: () => 0,
      })
      while (late.length > 0 && next(3) === 0) deliver()
    }
    while (late.length > 0) deliver()
    return ids.result(solo.state, envs[0]!)
  }

  function delayed(state: IdsActors, late: (() => void)[]): IdsActors {
    return {
      ...state,
      flows: {
        ...state.flows,
        with: (key, turn) =>
          state.flows.with(key, (flow, created) => {
            for (const name of ['connection', 'http', 'tls', 'bits', 'datagrams'] as const) {
              Object.assign(flow, { [name]: decode(encode(flow[name])) })
            }
            return turn(flow, created)
          }),
      },
      alerts: {
        ...state.alerts,
        at: (key) => ({ add: (x) => void late.push(() => state.alerts.at(key).add(x)) }),
      },
      trackers: {
        ...state.trackers,
        at: (key) => ({ add: (x) => void late.push(() => state.trackers.at(key).add(x)) }),
      },
    }
  }
})
