import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ids } from '../../nf-apps/ids/index.ts'
import type { OptionValues } from '../../nf-apps/index.ts'
import {
  build,
  LINK_ETHERNET,
  Packet,
  steeringHash,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_SYN,
} from '../../nf-apps/packet/index.ts'
import { soloRun } from '../kit/index.ts'

const { ethernet, ipv4, tcp } = build

export const CLIENT = '10.0.0.7'
export const SERVER = '192.0.2.80'

/** Lines that the IDS makes of frames, a millisecond apart or as told, with these rules. */
export async function lines(
  rules: string,
  frames: readonly Uint8Array[],
  options: OptionValues = {},
  timesUs: readonly number[] = [],
): Promise<string[]> {
  const { file, remove } = rulesFile(rules)
  try {
    return await soloRun(ids, packets(frames, timesUs), { rules: [file], ...options })
  } finally {
    remove()
  }
}

export function rulesFile(rules: string): { file: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'ids-'))
  const file = join(folder, 'test.rules')
  writeFileSync(file, rules, 'latin1')
  return { file, remove: () => rmSync(folder, { recursive: true }) }
}

export function* packets(
  frames: readonly Uint8Array[],
  timesUs: readonly number[] = [],
): Iterable<Packet> {
  let clockUs = 0
  for (const [i, frame] of frames.entries()) {
    const timeUs = timesUs[i] ?? 1_000_000_000 + i * 1000
    clockUs = Math.max(clockUs, timeUs)
    const p = new Packet()
    p.load(frame, 0, frame.length, LINK_ETHERNET, frame.length, timeUs, clockUs, i, 0)
    p.hash = steeringHash(p)
    yield p
  }
}

/** Sids raised, each as often as it was, in order of packet and sid. */
export async function sids(
  rules: string,
  frames: readonly Uint8Array[],
  options: OptionValues = {},
  timesUs: readonly number[] = [],
): Promise<number[]> {
  const all = await lines(rules, frames, options, timesUs)
  return all.map((line) => JSON.parse(line).alert.signature_id as number)
}

/** A TCP connection: what either side says in turn, acknowledged at once. */
export function conversation(
  turns: readonly (readonly ['client' | 'server', string | Uint8Array])[],
  ports: readonly [number, number] = [40000, 80],
): Uint8Array[] {
  const frames: Uint8Array[] = []
  const next = { client: 1000, server: 9000 }
  const send = (who: 'client' | 'server', flags: number, payload: string | Uint8Array = '') => {
    const toServer = who === 'client'
    const other = toServer ? 'server' : 'client'
    const [srcPort, dstPort] = toServer ? ports : [ports[1], ports[0]]
    const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
    const ack = (flags & TCP_ACK) === 0 ? 0 : next[other]
    const part = tcp({ srcPort, dstPort, seq: next[who], ack, flags, window: 65000 }, bytes)
    const ends = toServer ? { src: CLIENT, dst: SERVER } : { src: SERVER, dst: CLIENT }
    frames.push(ethernet({}, ipv4(ends, part)))
    next[who] += bytes.length + ((flags & (TCP_SYN | TCP_FIN)) === 0 ? 0 : 1)
  }
  send('client', TCP_SYN)
  send('server', TCP_SYN | TCP_ACK)
  send('client', TCP_ACK)
  for (const [who, payload] of turns) {
    send(who, TCP_ACK | TCP_PSH, payload)
    send(who === 'client' ? 'server' : 'client', TCP_ACK)
  }
  send('client', TCP_FIN | TCP_ACK)
  send('server', TCP_FIN | TCP_ACK)
  send('client', TCP_ACK)
  return frames
}
