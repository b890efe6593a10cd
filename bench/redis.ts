import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { Redis } from 'ioredis'

/** A Redis server of this bench alone, with nothing on disk. */
export interface RedisGround {
  readonly redis: Redis
  close(): Promise<void>
}

/** Undefined where there is no redis-server. */
export async function redisGround(): Promise<RedisGround | undefined> {
  const program = findRedis()
  if (program === undefined) return undefined
  const port = await freePort()
  const off = ['--save', '', '--appendonly', 'no', '--daemonize', 'no']
  const args = ['--port', String(port), '--bind', '127.0.0.1', ...off]
  const child = spawn(program, args, { stdio: 'ignore' })
  const kill = () => void child.kill('SIGKILL')
  process.once('exit', kill)
  const redis = new Redis({ host: '127.0.0.1', port, enableAutoPipelining: true })
  // Until the server listens, the client is refused and tries again.
  redis.on('error', () => {})
  await redis.ping()
  const close = async () => {
    await redis.quit()
    process.off('exit', kill)
    await ended(child)
  }
  return { redis, close }
}

function findRedis(): string | undefined {
  const dirs = (process.env.PATH ?? '').split(delimiter)
  return dirs.map((dir) => join(dir, 'redis-server')).find((file) => existsSync(file))
}

/** redis-server cannot be asked to choose one. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => resolve(port))
    })
    server.once('error', reject)
  })
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill('SIGTERM')
  })
}
