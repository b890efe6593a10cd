import type { BufferName } from './buffers.ts'
import type { Message } from './http.ts'
import { latin1, normalizeUri } from './uri.ts'

/** The buffers of one HTTP message, each made when a rule first asks for it. */
export class HttpBuffers {
  private readonly message: Message
  private readonly made = new Map<BufferName, Uint8Array | undefined>()
  private readonly lines: string[]
  private headers: [string, string][] | undefined

  constructor(message: Message) {
    this.message = message
    this.lines = latin1(message.head)
      .replace(/^[\r\n]+/, '')
      .split(/\r?\n/)
  }

  get(name: BufferName): Uint8Array | undefined {
    if (!this.made.has(name)) this.made.set(name, this.make(name))
    return this.made.get(name)
  }

  private make(name: BufferName): Uint8Array | undefined {
    const { message } = this
    if (name === 'file_data') return nonEmpty(message.body)
    if (name === 'http_client_body') return message.isRequest ? nonEmpty(message.body) : undefined
    if (name === 'http_response_body') return message.isRequest ? undefined : nonEmpty(message.body)
    const text = this.firstLine(name) ?? this.ofHeaders(name)
    return text === undefined ? undefined : bytesOf(text)
  }

  private firstLine(name: BufferName): string | undefined {
    const line = this.lines[0] ?? ''
    if (!this.message.isRequest) {
      const [, protocol, code, reason] = /^(\S+)\s*(\d*)\s*([\s\S]*)$/.exec(line) ?? []
      if (name === 'http_response_line') return line
      if (name === 'http_protocol') return protocol
      if (name === 'http_stat_code') return code
      return name === 'http_stat_msg' ? reason : undefined
    }
    const [, method = '', uri = '', protocol = ''] =
      /^\s*(\S+)[ \t]*(\S*)[ \t]*([\s\S]*)$/.exec(line) ?? []
    if (name === 'http_request_line') return line
    if (name === 'http_method') return method
    if (name === 'http_raw_uri') return uri
    if (name === 'http_uri') return latin1(normalizeUri(bytesOf(uri)))
    return name === 'http_protocol' && protocol !== '' ? protocol : undefined
  }

  private ofHeaders(name: BufferName): string | undefined {
    switch (name) {
      case 'http_header':
        return this.joinedHeaders()
      case 'http_raw_header':
        return afterFirstLine(this.message.head)
      case 'http_header_names':
        return `\r\n${this.parsed()
          .map(([header]) => `${header}\r\n`)
          .join('')}\r\n`
      case 'http_start': {
        const all = this.parsed().map(([header, value]) => `${header}: ${value}\r\n`)
        return `${this.lines[0] ?? ''}\r\n${all.join('')}\r\n`
      }
      case 'http_cookie':
        return this.header(this.message.isRequest ? 'cookie' : 'set-cookie')
      case 'http_host':
        return this.host()?.toLowerCase().replace(/:\d*$/, '')
      case 'http_raw_host':
        return this.header('host')
      default: {
        const header = HEADER_OF[name]
        return header === undefined ? undefined : this.header(header)
      }
    }
  }

  /** The one of an absolute or CONNECT's URI before the header's. */
  private host(): string | undefined {
    const [, method = '', uri = ''] = /^\s*(\S+)[ \t]*(\S*)/.exec(this.lines[0] ?? '') ?? []
    if (method === 'CONNECT' && uri !== '') return uri
    return /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/([^/?#]+)/.exec(uri)?.[1] ?? this.header('host')
  }

  /** Name and value as rules see them: without blanks round the value, cookies left out. */
  private joinedHeaders(): string | undefined {
    const left = this.parsed().filter(([name]) => !/^(set-)?cookie$/i.test(name))
    if (left.length === 0) return undefined
    return left.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  }

  private header(name: string): string | undefined {
    return this.parsed().find(([header]) => header.toLowerCase() === name)?.[1]
  }

  /** Folded lines joined, repeated headers made one. */
  private parsed(): [string, string][] {
    if (this.headers) return this.headers
    const headers: [string, string][] = []
    const byName = new Map<string, [string, string]>()
    let last: [string, string] | undefined
    for (const line of this.lines.slice(1)) {
      if (line === '') continue
      if (/^[ \t]/.test(line) && last) {
        last[1] += line.trimEnd()
        continue
      }
      const [, name, value] = /^([^:]*?)[ \t]*:[ \t]*([\s\S]*?)[ \t]*$/.exec(line) ?? [
        undefined,
        '',
        line,
      ]
      last = [name!, value!]
      const same = byName.get(name!.toLowerCase())
      if (same) same[1] += `, ${value}`
      else {
        byName.set(name!.toLowerCase(), last)
        headers.push(last)
      }
      last = same ?? last
    }
    this.headers = headers
    return headers
  }
}

const HEADER_OF: Readonly<Partial<Record<BufferName, string>>> = {
  http_user_agent: 'user-agent',
  http_referer: 'referer',
  http_accept: 'accept',
  http_accept_lang: 'accept-language',
  http_accept_enc: 'accept-encoding',
  http_connection: 'connection',
  http_content_type: 'content-type',
  http_content_len: 'content-length',
  http_location: 'location',
  http_server: 'server',
}

function nonEmpty(body: Uint8Array | undefined): Uint8Array | undefined {
  return body !== undefined && body.length > 0 ? body : undefined
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

function afterFirstLine(head: Uint8Array): string {
  const text = latin1(head).replace(/^[\r\n]+/, '')
  return text.slice(text.indexOf('\n') + 1)
}
