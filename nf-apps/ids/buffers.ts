/**
 * The parts of an HTTP transaction that rules look into, by the names rules have for them: as a modifier behind a
 * content (`http_uri`) or as a buffer that the following options are about (`http.uri`).
 */

export type BufferName =
  | 'http_uri'
  | 'http_raw_uri'
  | 'http_method'
  | 'http_protocol'
  | 'http_request_line'
  | 'http_response_line'
  | 'http_header'
  | 'http_raw_header'
  | 'http_header_names'
  | 'http_start'
  | 'http_cookie'
  | 'http_client_body'
  | 'http_stat_code'
  | 'http_stat_msg'
  | 'http_user_agent'
  | 'http_host'
  | 'http_raw_host'
  | 'http_referer'
  | 'http_accept'
  | 'http_accept_lang'
  | 'http_accept_enc'
  | 'http_connection'
  | 'http_content_type'
  | 'http_content_len'
  | 'http_location'
  | 'http_server'
  | 'http_response_body'
  | 'file_data'

export interface BufferInfo {
  /** In what the client sends, in what the server sends. */
  readonly toServer: boolean
  readonly toClient: boolean
  /** There when the body is; the others when the headers are. */
  readonly body: boolean
}

const request: BufferInfo = { toServer: true, toClient: false, body: false }
const response: BufferInfo = { toServer: false, toClient: true, body: false }
const either: BufferInfo = { toServer: true, toClient: true, body: false }

export const BUFFERS: Readonly<Record<BufferName, BufferInfo>> = {
  http_uri: request,
  http_raw_uri: request,
  http_method: request,
  http_protocol: either,
  http_request_line: request,
  http_response_line: response,
  http_header: either,
  http_raw_header: either,
  http_header_names: either,
  http_start: either,
  http_cookie: either,
  http_client_body: { ...request, body: true },
  http_stat_code: response,
  http_stat_msg: response,
  http_user_agent: request,
  http_host: request,
  http_raw_host: request,
  http_referer: request,
  http_accept: request,
  http_accept_lang: request,
  http_accept_enc: request,
  http_connection: either,
  http_content_type: either,
  http_content_len: either,
  http_location: response,
  http_server: response,
  http_response_body: { ...response, body: true },
  file_data: { ...either, body: true },
}

/** Modifiers that stand behind a content. */
export const MODIFIERS: ReadonlySet<string> = new Set<BufferName>([
  'http_uri',
  'http_raw_uri',
  'http_method',
  'http_header',
  'http_raw_header',
  'http_cookie',
  'http_client_body',
  'http_stat_code',
  'http_stat_msg',
  'http_user_agent',
  'http_host',
  'http_raw_host',
])

/** Options that the following ones are about. */
export const STICKY: Readonly<Record<string, BufferName>> = {
  'http.uri': 'http_uri',
  'http.uri.raw': 'http_raw_uri',
  'http.method': 'http_method',
  'http.protocol': 'http_protocol',
  http_protocol: 'http_protocol',
  'http.request_line': 'http_request_line',
  http_request_line: 'http_request_line',
  'http.response_line': 'http_response_line',
  http_response_line: 'http_response_line',
  'http.header': 'http_header',
  'http.header.raw': 'http_raw_header',
  'http.header_names': 'http_header_names',
  http_header_names: 'http_header_names',
  'http.start': 'http_start',
  http_start: 'http_start',
  'http.cookie': 'http_cookie',
  'http.request_body': 'http_client_body',
  'http.response_body': 'http_response_body',
  http_server_body: 'http_response_body',
  'http.stat_code': 'http_stat_code',
  'http.stat_msg': 'http_stat_msg',
  'http.user_agent': 'http_user_agent',
  'http.host': 'http_host',
  'http.host.raw': 'http_raw_host',
  'http.referer': 'http_referer',
  http_referer: 'http_referer',
  'http.accept': 'http_accept',
  http_accept: 'http_accept',
  'http.accept_lang': 'http_accept_lang',
  http_accept_lang: 'http_accept_lang',
  'http.accept_enc': 'http_accept_enc',
  http_accept_enc: 'http_accept_enc',
  'http.connection': 'http_connection',
  http_connection: 'http_connection',
  'http.content_type': 'http_content_type',
  http_content_type: 'http_content_type',
  'http.content_len': 'http_content_len',
  http_content_len: 'http_content_len',
  'http.location': 'http_location',
  'http.server': 'http_server',
  file_data: 'file_data',
  'file.data': 'file_data',
}
