import { hashWords, type KeyType, RehomeError } from '../../actors/index.ts'
import { Ip, ip } from '../packet/index.ts'

/** An asset: an address, and the VLAN that it was seen in where these are kept apart; else 0. */
export interface Host {
  ip: Ip
  vlan: number
}

/** "10.0.0.7", "10.0.0.7 vlan 12" */
export const host: KeyType<Host> = {
  name: 'host',
  words: 5,
  write(key, out) {
    const hash = ip.write(key.ip, out)
    out[4] = key.vlan
    return key.vlan === 0 ? hash : hashWords(out, 5)
  },
  read: (words, at) => ({ ip: ip.read(words, at), vlan: words[at + 4]! }),
  text: (key) => (key.vlan === 0 ? `${key.ip}` : `${key.ip} vlan ${key.vlan}`),
  parse(text) {
    const m = /^(\S+)(?: vlan (\d{1,4}))?$/.exec(text)
    if (!m)
      throw new RehomeError('bad-argument', `"${text}" is no host: ADDRESS [vlan N]`, { text })
    return { ip: Ip.parse(m[1] ?? ''), vlan: Number(m[2] ?? 0) }
  },
}
