import { RehomeError } from '../../bus/index.ts'

/** The MAC address at `at` as a 48-bit number, 0 where there is none (`at` negative). */
export function macAt(bytes: Uint8Array, at: number): number {
  if (at < 0 || at + 6 > bytes.length) return 0
  const high = (bytes[at]! << 8) | bytes[at + 1]!
  const low =
    (bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!
  return high * 0x1_0000_0000 + (low >>> 0)
}

/** "00:1b:21:0a:ff:03" */
export function macText(mac: number): string {
  const hex = mac.toString(16).padStart(12, '0')
  return hex.replace(/(..)(?=.)/g, '$1:')
}

export function parseMac(text: string): number {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new RehomeError('bad-argument', `"${text}" is no MAC address`, { text })
  }
  return Number.parseInt(text.replaceAll(':', ''), 16)
}
