import { RehomeError } from '../bus/index.ts'
import { LEAST_MAX } from './synthetic-sizes.ts'

/** What synthetic traffic is made from. The same settings give the same bytes. */
export interface SyntheticSettings {
  /** Flows live at once, from the first packets on until the last flows run out. */
  readonly flows: number
  /** Packets in all. */
  readonly packets: number
  readonly seed: number
  /** Packets of the smallest flow: 3 (mean 8.6) or 1 (mean 3.2) in the seed. */
  readonly least: number
  /** Packets per second of packet time. */
  readonly rate: number
  /** Bytes of data in a packet, evenly from least to most. */
  readonly payload: readonly [least: number, most: number]
  /** Share of the flows that use IPv6, 0 to 1. */
  readonly ipv6: number
}

export const syntheticDefaults: SyntheticSettings = {
  flows: 1_000,
  packets: 100_000,
  seed: 1,
  least: 3,
  rate: 100_000,
  payload: [512, 512],
  ipv6: 0,
}

/** Some 26 bytes a flow: 100 MB at most. */
const FLOWS_MAX = 4_000_000
/** The data that fit a 1,500-byte packet under IPv6 and TCP headers. */
export const PAYLOAD_MAX = 1_440

/** The text of each setting, read or refused with what was expected. */
const readers = {
  flows: (text: string) => whole(text, 1, FLOWS_MAX),
  packets: (text: string) => whole(text, 1, Number.MAX_SAFE_INTEGER),
  seed: (text: string) => whole(text, 0, Number.MAX_SAFE_INTEGER),
  least: (text: string) => whole(text, 1, LEAST_MAX),
  rate: (text: string) => whole(text, 1, 1_000_000_000),
  payload: (text: string) => range(text, PAYLOAD_MAX),
  ipv6: (text: string) => share(text),
}

/** Reads `flows=10000,packets=500000,seed=1`; what is not named has its default. */
export function parseSynthetic(text: string): SyntheticSettings {
  const settings: Record<string, number | [number, number]> = {}
  for (const part of text.split(',')) {
    if (part.trim() === '') continue
    const [, name = part, value = ''] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/.exec(part) ?? []
    if (!isSetting(name))
      throw wrong(part, `the settings are ${Object.keys(readers).join(', ')}, each as NAME=VALUE`)
    if (name in settings) throw wrong(part, `${name} is set twice`)
    const read = readers[name](value)
    if (typeof read === 'string') throw wrong(part, `${name} takes ${read}`)
    settings[name] = read
  }
  return { ...syntheticDefaults, ...settings }
}

function isSetting(name: string): name is keyof typeof readers {
  return Object.hasOwn(readers, name)
}

function wrong(part: string, expected: string): RehomeError {
  return new RehomeError('bad-argument', `synthetic traffic, "${part.trim()}": ${expected}`)
}

function whole(text: string, least: number, most: number): number | string {
  const value = /^\d+$/.test(text) ? Number(text) : -1
  return value >= least && value <= most ? value : `a whole number from ${least} to ${most}`
}

function range(text: string, most: number): [number, number] | string {
  const [, from = '', to = from] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? []
  const [low, high] = [Number(from), Number(to)]
  const fits = from !== '' && low <= high && high <= most
  return fits ? [low, high] : `bytes, as 512 or 64-1400, up to ${most}`
}

function share(text: string): number | string {
  const value = /^(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : -1
  return value >= 0 && value <= 1 ? value : 'a share from 0 to 1'
}
