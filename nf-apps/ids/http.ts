import { zlibPart } from './inflate.ts'
import { joined } from './stream.ts'
import { latin1 } from './uri.ts'

/**
 * HTTP/1 out of the two sides of a connection. It reads as servers and clients do, not as the standard would like
 * it: bare line feeds, blanks round names, any method. State is plain data, and bounded.
 */

/** Bytes of a message's headers; beyond that the side is given up. */
const HEADER_BYTES_MAX = 64 * 1024
/** Bytes of a body that rules see. */
const BODY_BYTES_MAX = 100 * 1024
/** Requests that wait for their answers on one connection. */
const WAITING_MAX = 256

type Phase =
  | 'start'
  | 'body'
  | 'chunk-size'
  | 'chunk'
  | 'trailer'
  | 'until-close'
  /** Not HTTP any more, or not to be made sense of. */
  | 'over'

export interface HttpSide {
  phase: Phase
  /** Received and not yet read: part of the headers, or of a chunk's size. */
  pending: Uint8Array
  /** Bytes that the body, or its chunk, still lacks. */
  left: number
  /** Headers of the message whose body is read. */
  head: Uint8Array
  body: Uint8Array[]
  bodyBytes: number
  /** Rules have seen this body: its limit was reached. */
  bodySeen: boolean
  /** It went on behind its limit. */
  cut: boolean
}

export interface Http {
  request: HttpSide
  response: HttpSide
  /** Methods of requests that have no answer yet. */
  waiting: string[]
  /** Bodies that were longer than what rules see of them. */
  cut: number
}

/** A message, as far as it has been read. */
export interface Message {
  readonly isRequest: boolean
  readonly head: Uint8Array
  /** Decoded, without chunk sizes; undefined before it is there. */
  readonly body: Uint8Array | undefined
}

/** Called when headers are there (body undefined), and when the body is. */
export type OnMessage = (message: Message) => void

export function newHttp(): Http {
  return { request: newSide(), response: newSide(), waiting: [], cut: 0 }
}

function newSide(): HttpSide {
  return {
    phase: 'start',
    pending: EMPTY,
    left: 0,
    head: EMPTY,
    body: [],
    bodyBytes: 0,
    bodySeen: false,
    cut: false,
  }
}

const EMPTY = new Uint8Array(0)

const REQUEST =
  /^[ \t\r\n]*(?:GET|PUT|POST|HEAD|TRACE|OPTIONS|CONNECT|DELETE|PATCH|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|CHECKOUT|UNCHECKOUT|CHECKIN|UPDATE|LABEL|REPORT|MKWORKSPACE|MKACTIVITY|MERGE|INVALID|VERSION-CONTROL|BASELINE-CONTROL)[ \t]/i
const RESPONSE = /^HTTP\/(?:0\.9|1\.\d)/i

/** Whether a side's first bytes are HTTP: undefined while that is open. */
export function looksLikeHttp(bytes: Uint8Array, fromClient: boolean): boolean | undefined {
  const start = latin1(bytes.subarray(0, 40))
  if ((fromClient ? REQUEST : RESPONSE).test(start)) return true
  return bytes.length >= (fromClient ? 20 : 8) ? false : undefined
}

/** Whether a side's end would show what has not been shown yet. */
export function isUnread({ request, response }: Http): boolean {
  return [request, response].some((s) => s.pending.length > 0 || (s.bodyBytes > 0 && !s.bodySeen))
}

/** Reads more of one side. */
export function feed(http: Http, fromClient: boolean, bytes: Uint8Array, on: OnMessage): void {
  const side = fromClient ? http.request : http.response
  let data = bytes
  if (side.pending.length > 0) {
    data = joined([side.pending, bytes], side.pending.length + bytes.length)
    side.pending = EMPTY
  }
  while (data.length > 0 && side.phase !== 'over') {
    const used = step(http, side, fromClient, data, on)
    if (used < 0) {
      if (data.length > HEADER_BYTES_MAX) side.phase = 'over'
      else side.pending = data.slice()
      return
    }
    data = data.subarray(used)
  }
}

/** Bytes that will never come: within a body they are skipped, elsewhere the side is given up. */
export function skip(http: Http, fromClient: boolean, count: number): void {
  const side = fromClient ? http.request : http.response
  const inside = side.phase === 'body' || side.phase === 'chunk'
  if (side.phase === 'until-close') return
  if (inside && side.left >= count) side.left -= count
  else side.phase = 'over'
}

/** The side has ended: what was begun is taken as complete. */
export function finish(http: Http, fromClient: boolean, on: OnMessage): void {
  const side = fromClient ? http.request : http.response
  if (side.phase === 'start' && side.pending.length > 0) {
    const head = side.pending
    side.pending = EMPTY
    if (head.indexOf(LF) >= 0 || head.indexOf(SPACE) >= 0) begin(http, side, fromClient, head, on)
  }
  if (side.phase !== 'start' && side.phase !== 'over') complete(side, fromClient, on)
  side.phase = 'over'
}

/** Reads one thing off the front of `data`: how many bytes it took, or −1 for not yet all there. */
function step(
  http: Http,
  side: HttpSide,
  fromClient: boolean,
  data: Uint8Array,
  on: OnMessage,
): number {
  switch (side.phase) {
    case 'start': {
      const blank = blankLines(data)
      if (blank > 0) return blank
      const strayLine = fromClient ? undefined : STRAY_LINE.exec(latin1(data.subarray(0, 256)))
      if (strayLine) return strayLine[0].length
      if (!fromClient && isBodyAlone(data)) {
        http.waiting.shift()
        startBody(side, EMPTY)
        side.phase = 'until-close'
        return 0
      }
      const end = headEnd(data, fromClient)
      if (end > 0) begin(http, side, fromClient, data.slice(0, end), on)
      return end
    }
    case 'body':
    case 'chunk': {
      const taken = Math.min(side.left, data.length)
      addBody(http, side, fromClient, data.subarray(0, taken), on)
      side.left -= taken
      if (side.left === 0) {
        if (side.phase === 'chunk') side.phase = 'chunk-size'
        // What a server sends on is the body's rest: its length was wrong.
        else if (!fromClient && isBodyAlone(data.subarray(taken))) side.phase = 'until-close'
        else complete(side, fromClient, on)
      }
      return taken
    }
    case 'chunk-size':
      return chunkSize(side, data)
    case 'trailer': {
      const end = data.indexOf(LF)
      if (end < 0) return -1
      if (end === 0 || (end === 1 && data[0] === CR)) complete(side, fromClient, on)
      return end + 1
    }
    default:
      addBody(http, side, fromClient, data, on)
      return data.length
  }
}

const LF = 10
const CR = 13
const SPACE = 32

function blankLines(data: Uint8Array): number {
  let at = 0
  while (at < data.length && (data[at] === CR || data[at] === LF)) at++
  return at
}

/** Behind the empty line that ends the headers, or −1. A request of HTTP/0.9 has none. */
function headEnd(data: Uint8Array, fromClient: boolean): number {
  const first = data.indexOf(LF)
  if (first < 0) return -1
  if (fromClient && !/\S\s+\S+\s+\S/.test(latin1(data.subarray(0, first)))) {
    const alone = /^\s*GET\s+\S+\s*$/i.test(latin1(data.subarray(0, first)))
    const followed = /^[\w-]+:/.test(latin1(data.subarray(first + 1, first + 64)))
    if (alone && !followed) return first + 1
  }
  for (let at = first; at >= 0; at = data.indexOf(LF, at + 1)) {
    if (data[at + 1] === LF) return at + 2
    if (data[at + 1] === CR && data[at + 2] === LF) return at + 3
    if (fromClient || data[at - 1] === CR) continue
    // Behind a lone line feed a server's line of blanks is an end as well, unless a better one follows.
    const blank = /^[ \t\r]+\n(?!\r?\n)/.exec(latin1(data.subarray(at + 1, at + 16)))
    if (blank) return at + 1 + blank[0].length
  }
  return -1
}

/** A line in front of an answer that is none of it; browsers read over it. */
const STRAY_LINE = /^(?![\s\0]*HTTP\/)[^\n]*\n(?=HTTP\/)/i

/** Bytes from a server that begin no answer: a body without headers, as of HTTP/0.9. */
function isBodyAlone(data: Uint8Array): boolean {
  const start = latin1(data.subarray(0, 16))
  return start.trimStart().length >= 6 && !STATUS_LINE.test(start)
}

function startBody(side: HttpSide, head: Uint8Array): void {
  side.head = head
  side.body = []
  side.bodyBytes = 0
  side.bodySeen = false
  side.cut = false
}

function begin(
  http: Http,
  side: HttpSide,
  fromClient: boolean,
  head: Uint8Array,
  on: OnMessage,
): void {
  startBody(side, head)
  const text = latin1(head)
  if (fromClient) {
    if (http.waiting.length < WAITING_MAX) http.waiting.push(/^\s*(\S+)/.exec(text)?.[1] ?? '')
  } else if (!STATUS_LINE.test(text)) {
    side.phase = 'over'
    return
  }
  on({ isRequest: fromClient, head, body: undefined })
  const status = fromClient ? 0 : Number(/^[\s\0]*\S+\s+(\d+)/.exec(text)?.[1] ?? 0)
  const interim = status >= 100 && status < 200 && status !== 101
  const method = fromClient ? '' : interim ? (http.waiting[0] ?? '') : (http.waiting.shift() ?? '')
  const switched = status === 101 && headerOf(head, 'content-length') === undefined
  if (switched || (method === 'CONNECT' && status >= 200 && status < 300)) {
    complete(side, fromClient, on)
    http.request.phase = http.response.phase = 'over'
    return
  }
  chooseBody(side, fromClient, head, interim || status === 204 || status === 304, method === 'HEAD')
  if (side.phase === 'start') complete(side, fromClient, on)
}

/** How the body ends. What a status should not have is read all the same where a length says that it is there. */
function chooseBody(
  side: HttpSide,
  fromClient: boolean,
  head: Uint8Array,
  bodiless: boolean,
  never: boolean,
): void {
  side.phase = 'start'
  if (never) return
  if (/chunked/i.test(headerOf(head, 'transfer-encoding') ?? '')) {
    side.phase = 'chunk-size'
    return
  }
  const length = /^\s*\+?(\d+)/.exec(headerOf(head, 'content-length') ?? '')
  side.left = length ? Number(length[1]) : 0
  if (side.left > 0) side.phase = 'body'
  else if (!length && !fromClient && !bodiless) side.phase = 'until-close'
}

const STATUS_LINE = /^[\s\0]*HTTP\//i

/** A header's value, folded lines joined, repeated ones by commas, without the NULs that some leave out. */
function headerOf(head: Uint8Array, name: string): string | undefined {
  let text = latin1(head)
  if (STATUS_LINE.test(text)) {
    // Of servers' lines a lone return is an end as well, and a folded one with a name of its own is none.
    text = text.replaceAll(/\r(?!\n)/g, '\n').replaceAll(/\n[ \t]+(?=[\w-]+[ \t]*:)/g, '\n')
  }
  text = text.replaceAll(/\r*\n[ \t\0]+/g, ' ').replaceAll('\0', '')
  const values: string[] = []
  for (const line of text.split('\n')) {
    const [, header, value] = /^([^:]*?)\s*:([\s\S]*)$/.exec(line) ?? []
    if (header?.toLowerCase() === name) values.push(value!.trim())
  }
  return values.length > 0 ? values.join(',') : undefined
}

function chunkSize(side: HttpSide, data: Uint8Array): number {
  const end = data.indexOf(LF)
  const line = latin1(data.subarray(0, end < 0 ? 64 : end)).trim()
  if (line === '') return end < 0 ? -1 : end + 1
  const size = /^[0-9a-fA-F]{1,8}/.exec(line)
  if (!size) {
    if (side.bodyBytes > 0) return giveUp(side, data)
    // It said chunked and is not: browsers show it nevertheless.
    side.phase = 'until-close'
    return 0
  }
  if (end < 0) return data.length > 1024 ? giveUp(side, data) : -1
  side.left = Number.parseInt(size[0], 16)
  side.phase = side.left === 0 ? 'trailer' : 'chunk'
  return end + 1
}

function giveUp(side: HttpSide, data: Uint8Array): number {
  side.phase = 'over'
  return data.length
}

function addBody(
  http: Http,
  side: HttpSide,
  fromClient: boolean,
  bytes: Uint8Array,
  on: OnMessage,
): void {
  const room = BODY_BYTES_MAX - side.bodyBytes
  if (bytes.length > room && !side.cut) {
    side.cut = true
    http.cut++
  }
  if (room <= 0) return
  const part = new Uint8Array(bytes.subarray(0, room))
  side.body.push(part)
  side.bodyBytes += part.length
  if (side.bodyBytes >= BODY_BYTES_MAX) showBody(side, fromClient, on)
}

function showBody(side: HttpSide, fromClient: boolean, on: OnMessage): void {
  if (side.bodySeen) return
  side.bodySeen = true
  const raw = joined(side.body, side.bodyBytes)
  side.body = []
  on({ isRequest: fromClient, head: side.head, body: decoded(side.head, raw) })
}

function complete(side: HttpSide, fromClient: boolean, on: OnMessage): void {
  showBody(side, fromClient, on)
  side.head = EMPTY
  side.phase = 'start'
}

/** Codings undone, the last one applied first; two at most. */
function decoded(head: Uint8Array, body: Uint8Array): Uint8Array {
  if (body.length === 0) return body
  const codings =
    headerOf(head, 'content-encoding')
      ?.toLowerCase()
      .match(/gzip|deflate/g) ?? []
  return codings
    .slice(-2)
    .reverse()
    .reduce((bytes, coding) => zlibPart(bytes, coding === 'gzip'), body)
}
