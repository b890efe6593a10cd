import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** In the checkout or beside it, whether this runs from its sources or from what was built of them. */
export function beside(name: string): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const found = join(at, name)
    if (existsSync(found) || at === dirname(at)) return found
  }
}
