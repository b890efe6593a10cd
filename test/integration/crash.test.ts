/** An instance that dies takes what it had; the others go on, and what is gone is counted. */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { findNatsServer } from '../../bus/index.ts'
import { canSeeProcesses, descendants, lives, newFile, Running, sample, until } from './rehome.ts'

/** The process of a run's instance. */
function instanceOf(running: Running, id: string): number {
  const found = descendants(running.child.pid!).find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`--id\0${id}\0`),
  )
  if (found === undefined) throw new Error(`no process of instance ${id}`)
  return found
}

describe.runIf(findNatsServer() && canSeeProcesses)('a run whose instances die', () => {
  it('goes on when one is killed, and when one was stopped for too long', async () => {
    const args = ['prads', '--pcap', sample, '--loop', '2', '--rate', '5000', '--scale', '3']
    const running = new Running(['run', ...args, '--bus', 'nats', '--out', newFile()])
    await running.shows(/^\d+ %: .*i3/m)
    process.kill(instanceOf(running, 'i2'), 'SIGKILL')
    await until('the run says so', () => running.said.includes('instance i2 ended (SIGKILL)'))
    // What it was goes on with two; the third is gone from the view before it can speak again.
    await delay(3_500)
    const stopped = instanceOf(running, 'i3')
    process.kill(stopped, 'SIGSTOP')
    await delay(4_500)
    process.kill(stopped, 'SIGCONT')
    await until('the one that was stopped has ended', () => !lives(stopped))
    const { code, stdout, stderr } = await running.ended
    expect(stderr).toMatch(/i3 was silent for too long and was taken out/)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^instance i3 ended \(1\): what it had is gone, the others go on$/m)
    expect(stdout).toMatch(/^2 instances died, with [1-9][\d,]* actors by their last heartbeats/m)
    // Every packet has its verdict, or is counted.
    expect(stdout).toMatch(/^56,802 packets in /m)
    expect(stdout).toMatch(/^i1 +[1-9][\d,]* /m)
  })

  it('ends in one line when the last one dies', async () => {
    const args = ['prads', '--pcap', sample, '--rate', '5000', '--scale', '1', '--bus', 'nats']
    const running = new Running(['run', ...args])
    await running.shows(/^\d+ %: .*i1/m)
    process.kill(instanceOf(running, 'i1'), 'SIGKILL')
    const { code, stderr } = await running.ended
    expect(stderr).toBe('rehome: instance i1 ended (SIGKILL)\n')
    expect(code).toBe(1)
  })
})
