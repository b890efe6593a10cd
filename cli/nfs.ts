import type { NF } from '../nf-apps/index.ts'

/** What `rehome nfs` says of an NF: its options, and its state objects from the running definitions. */
export function describeNF(nf: NF): string[] {
  const options = Object.entries(nf.options).map(
    ([name, o]) => `    --${name}${o.type === 'string' ? ` ${o.value ?? 'VALUE'}` : ''}  ${o.help}`,
  )
  const state = Object.entries(nf.state).flatMap(([name, keyed]) => describeState(name, keyed))
  return [`${nf.name}: ${nf.summary}`, ...options, ...state]
}

/** Of a field in an actor's record; what is not a number lies beside it, as long as it is. */
const FIELD_BYTES = { u8: 1, bool: 1, u16: 2, u32: 4, i32: 4, f64: 8, plain: 0 } as const
const WORD_BYTES = 4

function describeState(name: string, { type, key }: NF['state'][string]): string[] {
  const fields = Object.entries<{ kind: keyof typeof FIELD_BYTES }>(type.fields)
  const bytes = fields.reduce((sum, [, { kind }]) => sum + FIELD_BYTES[kind], 0)
  const names = fields.map(([field, { kind }]) =>
    kind === 'plain' ? `${field}: of no fixed size` : field,
  )
  const head =
    `    ${name}: ${type.writers}-writer, by ${key.name} (key ${key.words * WORD_BYTES} bytes), ` +
    `state ${bytes} bytes (${names.join(', ')})${type.expiry ? '; expires' : ''}`
  const methods = Object.entries(type.methods).map(([method, m]) => `${method} (${accessOf(m)})`)
  return methods.length > 0 ? [head, `        methods: ${methods.join(', ')}`] : [head]
}

function accessOf(method: NF['state'][string]['type']['methods'][string]): string {
  if (typeof method === 'function') return 'plain'
  if (method.access === 'stale') return `stale, ${method.withinMs} ms`
  return method.merge ? 'untether, merged' : 'untether'
}
