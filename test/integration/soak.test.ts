/** Some seconds of `npm run soak`: real processes on a real nats-server under all faults, from a seed of its own. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findNatsServer } from '../../bus/index.ts'
import { type Ended, root } from './rehome.ts'

function soak(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [join(root, 'dist/test/kit/soak-main.js'), ...args])
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (bytes) => {
    stdout += bytes
  })
  child.stderr.on('data', (bytes) => {
    stderr += bytes
  })
  return new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}

/** Some 15 s on a machine that is free; converging is given 45 s more before it is a violation. */
const SOAK_MS_MAX = 120_000

describe.runIf(findNatsServer())(
  'a soak',
  () => {
    it('finds nothing wrong under connections cut, servers restarted, instances stopped and killed', async () => {
      const seed = String(Date.now() % 1e6)
      const { code, stdout, stderr } = await soak('--minutes', '0.1', '--seed', seed)
      console.log(stdout)
      expect(stderr, `seed ${seed}`).toBe('')
      expect(code).toBe(0)
      expect(stdout).toMatch(/^faults: .* [1-9]/m)
      expect(stdout).toMatch(/operations [1-9].* no violation$/m)
    })

    it('sees a workload that makes one post in fifty twice', async () => {
      const { code, stderr } = await soak('--minutes', '0.03', '--seed', '1', '--broken', 'twice')
      expect(stderr).toMatch(/^exactly once: \d+ ran twice/m)
      expect(stderr).toMatch(/npm run soak -- --seed 1 --broken twice/)
      expect(code).toBe(1)
    })
  },
  SOAK_MS_MAX,
)
