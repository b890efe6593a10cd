import { type ParseArgsConfig, parseArgs } from 'node:util'

/** A check's arguments; a wrong one is told in one line, and ends it with 2. */
export function argumentsOf<C extends ParseArgsConfig>(
  check: string,
  config: C,
): ReturnType<typeof parseArgs<C>> {
  try {
    return parseArgs(config)
  } catch (error) {
    return wrong(check, error instanceof Error ? error.message.split('. ')[0]! : String(error))
  }
}

export function wrong(check: string, what: string): never {
  process.stderr.write(`${check}: ${what}\n`)
  process.exit(2)
}
