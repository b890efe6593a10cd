import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'

/** Hands bytes on to a server, until told to hold them back, or to cut all connections in the middle of whatever they do. */
export class Wire {
  /** Each end of a connection, and the other one. */
  private readonly ends = new Map<Socket, Socket>()
  private readonly server: Server
  /** Who wants it held back: holds may overlap. */
  private held = 0
  cuts = 0

  constructor(port: number) {
    this.server = createServer((near) => {
      const far = dial(port, '127.0.0.1')
      this.join(near, far)
      this.join(far, near)
    })
  }

  private join(one: Socket, other: Socket): void {
    this.ends.set(one, other)
    if (this.held === 0) one.pipe(other)
    one.on('error', () => other.destroy())
    one.on('close', () => {
      this.ends.delete(one)
      other.destroy()
    })
  }

  /** Nothing comes through any more, and nobody is told; until `release`. */
  hold(): void {
    if (this.held++ > 0) return
    for (const [one, other] of this.ends) one.unpipe(other)
  }
  release(): void {
    if (--this.held > 0) return
    for (const [one, other] of this.ends) one.pipe(other)
  }

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return `nats://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }
  cut(): void {
    this.cuts++
    for (const socket of [...this.ends.keys()]) socket.destroy()
  }
  close(): void {
    this.server.close()
    this.cut()
  }
}
