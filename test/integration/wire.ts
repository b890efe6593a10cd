import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'

/** Hands bytes on to a server, until told to cut all connections in the middle of whatever they do. */
export class Wire {
  private readonly sockets = new Set<Socket>()
  private readonly server: Server
  cuts = 0

  constructor(port: number) {
    this.server = createServer((near) => {
      const far = dial(port, '127.0.0.1')
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.sockets.add(one)
        one.pipe(other)
        one.on('error', () => other.destroy())
        one.on('close', () => {
          this.sockets.delete(one)
          other.destroy()
        })
      }
    })
  }
  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return `nats://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }
  cut(): void {
    this.cuts++
    for (const socket of [...this.sockets]) socket.destroy()
  }
  close(): void {
    this.server.close()
    this.cut()
  }
}
