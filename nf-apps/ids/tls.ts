/**
 * As much of TLS as an inspector without keys can use: where records end, and from where on all is encrypted.
 */

export interface TlsSide {
  /** Of the record's header: what has come of its 5 bytes. */
  header: number[]
  /** Bytes that the record still lacks. */
  left: number
  cipherChanged: boolean
}

export interface Tls {
  client: TlsSide
  server: TlsSide
  /** Nothing further on can be read. */
  encrypted: boolean
}

const CHANGE_CIPHER_SPEC = 20
const APPLICATION_DATA = 23
const HEADER_BYTES = 5

export function newTls(): Tls {
  return { client: newSide(), server: newSide(), encrypted: false }
}

function newSide(): TlsSide {
  return { header: [], left: 0, cipherChanged: false }
}

/** Whether a connection's first bytes are a TLS handshake: undefined while that is open. */
export function looksLikeTls(bytes: Uint8Array): boolean | undefined {
  if (bytes.length < 3) return bytes.length > 0 && bytes[0] !== 22 ? false : undefined
  return bytes[0] === 22 && bytes[1] === 3 && bytes[2]! <= 4
}

/** Reads more of one side: true if a record has ended in it. */
export function feedTls(tls: Tls, fromClient: boolean, bytes: Uint8Array): boolean {
  const side = fromClient ? tls.client : tls.server
  let at = 0
  let ended = false
  while (at < bytes.length) {
    if (side.left > 0) {
      const taken = Math.min(side.left, bytes.length - at)
      side.left -= taken
      at += taken
      if (side.left === 0) ended = true
      continue
    }
    side.header.push(bytes[at++]!)
    if (side.header.length < HEADER_BYTES) continue
    const [type, , , high, low] = side.header
    side.left = (high! << 8) | low!
    side.header = []
    if (type === CHANGE_CIPHER_SPEC) side.cipherChanged = true
    if (tls.client.cipherChanged && tls.server.cipherChanged) tls.encrypted = true
    if (type === APPLICATION_DATA) tls.encrypted = true
  }
  return ended
}
