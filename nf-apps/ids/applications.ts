import { APP_HTTP, APP_OTHER, APP_TLS, APP_UNKNOWN, type FlowState } from './flow-state.ts'
import { feed, finish, looksLikeHttp, newHttp, type OnMessage, skip } from './http.ts'
import {
  ackedBytes,
  CLOSED,
  type Connection,
  contiguous,
  type Half,
  heldTo,
  TIME_WAIT,
} from './stream.ts'
import { feedTls, looksLikeTls, newTls } from './tls.ts'

/** Bytes of a connection from which on it is nothing that we know. */
const GUESS_BYTES = 4096

/** Hands acknowledged bytes to what speaks on the connection, once that is known. */
export class Applications {
  /** Reads on what one side has sent; `all`: also what nobody has acknowledged, as it is the end. */
  read(f: FlowState, c: Connection, fromClient: boolean, all: boolean, on: OnMessage): void {
    if (f.app === APP_UNKNOWN) {
      if (c.midstream && c.client.app === 0 && isAnswer(this.opening(c.client, all))) {
        turnRound(f, c)
        this.read(f, c, !fromClient, all, on)
        return
      }
      // Bytes that came with the handshake wait for the next ones of theirs that are acknowledged.
      if (!all && this.opening(fromClient ? c.client : c.server, false).length === 0) return
      this.guess(f, c, all)
      if (f.app === APP_UNKNOWN) return
      // The other side's bytes have waited for this.
      this.readSide(f, c, true, all && fromClient, on)
      this.readSide(f, c, false, all && !fromClient, on)
      return
    }
    this.readSide(f, c, fromClient, all, on)
  }

  private guess(f: FlowState, c: Connection, all: boolean): void {
    const client = this.opening(c.client, all)
    const server = this.opening(c.server, all)
    const http = [looksLikeHttp(client, true), looksLikeHttp(server, false)]
    const tls = looksLikeTls(client)
    if (http.includes(true)) {
      f.app = APP_HTTP
      f.http = newHttp()
    } else if (tls) {
      f.app = APP_TLS
      f.tls = newTls()
    } else if (http[0] === false && tls === false && (http[1] === false || tooMuch(c))) {
      f.app = APP_OTHER
    } else if (tooMuch(c)) f.app = APP_OTHER
  }

  private opening(half: Half, all: boolean): Uint8Array {
    const to = all ? heldTo(half) : ackedBytes(half)
    const block = contiguous(half, 0, Math.min(64, to))
    return block !== undefined && block.at === 0 ? block.bytes : NOTHING
  }

  private readSide(
    f: FlowState,
    c: Connection,
    fromClient: boolean,
    all: boolean,
    on: OnMessage,
  ): void {
    const half = fromClient ? c.client : c.server
    const to = all ? heldTo(half) : ackedBytes(half)
    const shown: OnMessage = (message) => {
      if (message.body !== undefined) half.flush = true
      on(message)
    }
    while (half.app < to) {
      const block = contiguous(half, half.app, to)
      const at = block?.at ?? Math.min(to, half.next)
      if (at > half.app && f.http !== null) skip(f.http, fromClient, at - half.app)
      half.app = Math.max(half.app, at)
      if (block === undefined) break
      half.app = block.at + block.bytes.length
      if (f.http !== null) feed(f.http, fromClient, block.bytes, shown)
      else if (f.tls !== null) this.feedTls(f, half, fromClient, block.bytes)
    }
    const ended = all || c.state === CLOSED
    if (ended && f.http !== null && c.state > TIME_WAIT) finish(f.http, fromClient, shown)
    else if (all && f.http !== null) finish(f.http, fromClient, shown)
    if (f.app === APP_OTHER) half.app = Math.max(half.app, ackedBytes(half))
  }

  private feedTls(f: FlowState, half: Half, fromClient: boolean, bytes: Uint8Array): void {
    if (f.tls === null) return
    if (feedTls(f.tls, fromClient, bytes)) half.flush = true
    if (f.tls.encrypted) f.encrypted = true
  }
}

/** Bytes that only a server sends: the connection was picked up in an answer, its ends the wrong way round. */
function isAnswer(bytes: Uint8Array): boolean {
  if (looksLikeHttp(bytes, false) === true) return true
  if (bytes.length > 5 && looksLikeTls(bytes) === true) return bytes[5] === 2
  if (bytes.length < 21 || bytes[0] !== 0) return false
  const smb = bytes[5] === 0x53 && bytes[6] === 0x4d && bytes[7] === 0x42
  if (!smb) return false
  return bytes[4] === 0xff ? (bytes[13]! & 0x80) !== 0 : bytes[4] === 0xfe && (bytes[20]! & 1) !== 0
}

function turnRound(f: FlowState, c: Connection): void {
  const { client } = c
  c.client = c.server
  c.server = client
  f.clientIsSource = !f.clientIsSource
}

const NOTHING = new Uint8Array(0)

function tooMuch(c: Connection): boolean {
  return c.client.acked > GUESS_BYTES || c.server.acked > GUESS_BYTES
}
