import { describe, expect, it } from 'vitest'
import { ids } from '../../nf-apps/ids/index.ts'
import { build, TCP_ACK } from '../../nf-apps/packet/index.ts'
import { Solo } from '../kit/index.ts'
import { CLIENT, conversation, packets, rulesFile, SERVER } from './ids-run.ts'

const { ethernet, ipv4, ipv4Fragments, tcp, udp } = build

const rule = (ends: string, options: string, sid = 1) => `alert ${ends} (${options} sid:${sid};)\n`

describe('what is left out is told', () => {
  async function notesOf(
    text: string,
    frames: readonly Uint8Array[],
    timesUs: readonly number[] = [],
  ): Promise<string[]> {
    const { file, remove } = rulesFile(text)
    try {
      const solo = new Solo(ids, { rules: [file] })
      for (const p of packets(frames, timesUs)) await solo.packet(p)
      return await solo.notes()
    } finally {
      remove()
    }
  }
  const ends = { src: CLIENT, dst: SERVER }
  const frame = ethernet({}, ipv4(ends, udp({ dstPort: 53 }, 'x'.repeat(3000))))

  it('nothing, where nothing is', async () => {
    expect(await notesOf(rule('udp any any -> any any', 'content:"x";'), [frame])).toEqual([])
  })
  it('rules by file and line, alerts of one packet, searches at their bound', async () => {
    const many = Array.from({ length: 20 }, (_, i) =>
      rule('udp any any -> any any', 'content:"x";', i + 1),
    )
    const hard = rule('udp any any -> any any', 'pcre:"/(x+)(x+)(x+)\\1\\2\\3!/";', 50)
    const odd = rule('udp any any -> any any', 'nonsense:1;', 60)
    const notes = await notesOf([...many, hard, odd].join(''), [frame])
    expect(notes[0]).toBe('1 rules not honoured, 21 loaded')
    expect(notes[1]).toMatch(/test\.rules:22: nonsense: .*\(sid 60\)$/)
    expect(notes).toContain('1 searches ended at their bound, without a match')
    expect(notes).toContain('5 alerts left out, of packets that raised more than 15')
  })
  it('HTTP bodies behind their limit, each once', async () => {
    const answer = (bytes: number): ['server', string] => [
      'server',
      `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`,
    ]
    const piece: ['server', string] = ['server', 'x'.repeat(1024)]
    const body = (bytes: number) => [answer(bytes), ...Array(bytes / 1024).fill(piece)]
    const get: ['client', string] = ['client', 'GET / HTTP/1.1\r\n\r\n']
    const text = rule('http any any -> any any', 'file_data; content:"yy";')
    const long = conversation([get, ...body(102 * 1024), get, ...body(100 * 1024)])
    expect(await notesOf(text, long)).toEqual([
      '1 HTTP bodies were read for their first 100 KiB alone',
    ])
  })
  it('bytes that a day of silence has ended', async () => {
    const whole = conversation([['client', 'unheard']])
    const frames = whole.slice(0, 4) // nobody acknowledges what the client has said
    const [later] = conversation([], [40001, 80])
    const day = 86_400e6
    const text = rule('tcp any any -> any any', 'content:"zz";')
    const at = (us: number) => [...frames.map((_, i) => 1e9 + i), 1e9 + us]
    expect(await notesOf(text, [...frames, later!], at(day - 9))).toEqual([])
    const ended = '1 flows ended by a day of silence with bytes that no rule has seen'
    expect(await notesOf(text, [...frames, whole[4]!], at(2 * day))).toEqual([ended])
  })
  it('fragments and segments without room', async () => {
    const parts = Array.from({ length: 20 }, (_, id) => {
      const [first] = ipv4Fragments({ ...ends, id }, udp({}, 'x'.repeat(64)), 32)
      return ethernet({}, first!)
    })
    const [one, two, three] = conversation([])
    const far = Array.from({ length: 1100 }, (_, i) => {
      const seq = 1003 + 2 * i
      const part = { srcPort: 40000, dstPort: 80, flags: TCP_ACK, seq, ack: 9001, window: 65535 }
      return ethernet({}, ipv4(ends, tcp(part, 'y')))
    })
    const notes = await notesOf(rule('ip any any -> any any', 'content:"zz";'), [
      ...parts,
      ...[one!, two!, three!],
      ...far,
    ])
    expect(notes).toContain('4 fragments found no room')
    expect(notes.join()).toMatch(/\d+ TCP segments found no room/)
  })
})
