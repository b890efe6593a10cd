import type { KoffiFunc } from 'koffi'
import { RehomeError } from '../bus/index.ts'
import { LINK_ETHERNET, LINK_RAW } from '../nf-apps/packet/index.ts'
import { NO_OFFLOAD, type Offload } from './offload.ts'

/*
 * Frames from and to interfaces: AF_PACKET sockets of Linux, through libc by `koffi`. Many frames go with one system
 * call (recvmmsg, sendmmsg), into and out of buffers that are laid out once. The kernel keeps what comes while nobody
 * reads, up to the socket's buffer, and counts what it has to drop.
 */

/** Frames of one system call. */
const BURST = 64
/** Before each frame: struct virtio_net_hdr, which tells of offloads (PACKET_VNET_HDR). */
const VNET_BYTES = 10
/** A frame that was not cut into segments yet (GSO), with its Ethernet header; room for VLAN tags. */
const SLOT_BYTES = VNET_BYTES + 0x10000 + 64
/** struct mmsghdr, msghdr in it, iovec, and one control message with tpacket_auxdata: 64-bit Linux. */
const MMSG_BYTES = 64
const IOVEC_BYTES = 16
const CONTROL_BYTES = 64
/** Kernel buffers: half a second at 100 MB/s. It takes as much as it may. */
const RECEIVE_BYTES = 64 << 20
const SEND_BYTES = 8 << 20

// From the headers of Linux; the same on all 64-bit machines.
const AF_PACKET = 17
const SOCK_RAW = 3
const ETH_P_ALL = 3
const SOL_SOCKET = 1
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const SOL_PACKET = 263
const PACKET_ADD_MEMBERSHIP = 1
const PACKET_STATISTICS = 6
const PACKET_AUXDATA = 8
const PACKET_VNET_HDR = 15
const PACKET_IGNORE_OUTGOING = 23
const MEMBER_PROMISCUOUS = 1
const MEMBER_ALL_MULTICAST = 2
const MSG_DONTWAIT = 0x40
const POLLIN = 1
const SIOCGIFMTU = 0x8921
const SIOCGIFHWADDR = 0x8927
const EPERM = 1
const EAGAIN = 11
const EINVAL = 22
const ENOBUFS = 105
const TP_STATUS_VLAN_VALID = 0x10
const TP_STATUS_VLAN_TPID_VALID = 0x40
const ETHER_VLAN = 0x8100
const HARDWARE_ETHERNET = 1
const HARDWARE_LOOPBACK = 772

interface Libc {
  readonly address: (buffer: Uint8Array) => bigint
  readonly errno: () => number
  readonly socket: KoffiFunc<(family: number, type: number, protocol: number) => number>
  readonly bind: KoffiFunc<(fd: number, address: Uint8Array, length: number) => number>
  readonly close: KoffiFunc<(fd: number) => number>
  readonly setsockopt: KoffiFunc<
    (fd: number, level: number, name: number, value: Uint8Array, length: number) => number
  >
  readonly getsockopt: KoffiFunc<
    (fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array) => number
  >
  readonly ioctl: KoffiFunc<(fd: number, request: number, argument: Uint8Array) => number>
  readonly indexOf: KoffiFunc<(name: string) => number>
  readonly recvmmsg: KoffiFunc<
    (fd: number, messages: Uint8Array, count: number, flags: number, timeout: null) => number
  >
  readonly sendmmsg: KoffiFunc<
    (fd: number, messages: Uint8Array, count: number, flags: number) => number
  >
  readonly poll: KoffiFunc<(fds: Uint8Array, count: number, ms: number) => number>
}

/** libc through koffi, which is an optional package: live interfaces are all that needs it. */
async function loadLibc(): Promise<Libc> {
  if (process.platform !== 'linux' || !/^(x64|arm64|riscv64|loong64)$/.test(process.arch)) {
    const here = `${process.platform} on ${process.arch}`
    throw unavailable(`live interfaces need Linux on a 64-bit machine; this is ${here}`)
  }
  let koffi: typeof import('koffi')
  try {
    koffi = await import('koffi')
  } catch {
    throw unavailable("live interfaces need the package 'koffi': npm install koffi")
  }
  const libc = koffi.load('libc.so.6')
  return {
    address: koffi.address,
    errno: () => koffi.errno() ?? 0,
    socket: libc.func('int socket(int, int, int)'),
    bind: libc.func('int bind(int, void *, unsigned int)'),
    close: libc.func('int close(int)'),
    setsockopt: libc.func('int setsockopt(int, int, int, void *, unsigned int)'),
    getsockopt: libc.func('int getsockopt(int, int, int, void *, void *)'),
    ioctl: libc.func('int ioctl(int, unsigned long, void *)'),
    indexOf: libc.func('unsigned int if_nametoindex(const char *)'),
    recvmmsg: libc.func('int recvmmsg(int, void *, unsigned int, int, void *)'),
    sendmmsg: libc.func('int sendmmsg(int, void *, unsigned int, int)'),
    poll: libc.func('int poll(void *, unsigned long, int)'),
  }
}

const unavailable = (message: string) => new RehomeError('bad-argument', message)

function int32(...values: number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(values).buffer)
}

export interface RawSocketOptions {
  /** Frames for other machines too: to watch a line, not to stand in it. */
  readonly promiscuous: boolean
  /** Frames that this machine sends are seen as well. */
  readonly outgoing: boolean
}

/** Buffers that one system call fills or sends, and the addresses in them. */
class Burst {
  readonly bytes = Buffer.allocUnsafeSlow(BURST * SLOT_BYTES)
  readonly messages = Buffer.alloc(BURST * MMSG_BYTES)
  readonly control = Buffer.alloc(BURST * CONTROL_BYTES)
  private readonly vectors = Buffer.alloc(BURST * IOVEC_BYTES)

  constructor({ address }: Libc, withControl: boolean) {
    const { bytes, messages, control, vectors } = this
    for (let i = 0; i < BURST; i++) {
      vectors.writeBigUInt64LE(address(bytes) + BigInt(i * SLOT_BYTES), i * IOVEC_BYTES)
      const message = i * MMSG_BYTES
      messages.writeBigUInt64LE(address(vectors) + BigInt(i * IOVEC_BYTES), message + 16)
      messages.writeBigUInt64LE(1n, message + 24)
      const at = address(control) + BigInt(i * CONTROL_BYTES)
      if (withControl) messages.writeBigUInt64LE(at, message + 32)
      this.length(i, SLOT_BYTES)
    }
  }

  length(i: number, bytes: number): void {
    this.vectors.writeUInt32LE(bytes, i * IOVEC_BYTES + 8)
  }
}

/** Takes a frame out of the buffer, which is overwritten by the next call. */
export type OnFrame = (bytes: Uint8Array, start: number, end: number, offload: Offload) => void

/** One interface: its frames in and out. */
export class RawSocket {
  readonly name: string
  readonly mac: Uint8Array
  readonly mtu: number
  readonly linkType: number
  received = 0
  sent = 0
  /** What the kernel had no room for: frames in, frames out. */
  missed = 0
  unsent = 0
  private readonly libc: Libc
  private readonly fd: number
  private readonly inward: Burst
  private readonly outward: Burst
  private gathered = 0
  private readonly offload: Offload = { ...NO_OFFLOAD }

  private constructor(libc: Libc, name: string, o: RawSocketOptions) {
    const index = libc.indexOf(name)
    if (index === 0) throw unavailable(`there is no interface '${name}' (ip link shows them)`)
    this.name = name
    this.libc = libc
    this.fd = libc.socket(AF_PACKET, SOCK_RAW, 0)
    if (this.fd < 0) {
      const why =
        libc.errno() === EPERM ? 'root, or CAP_NET_RAW' : `more than errno ${libc.errno()}`
      throw unavailable(`packets of the interface '${name}' need ${why}`)
    }
    const hardware = this.request(SIOCGIFHWADDR)
    const type = hardware.readUInt16LE(16)
    const framed = type === HARDWARE_ETHERNET || type === HARDWARE_LOOPBACK
    this.linkType = framed ? LINK_ETHERNET : LINK_RAW
    this.mac = new Uint8Array(hardware.subarray(18, 24))
    this.mtu = this.request(SIOCGIFMTU).readInt32LE(16)
    this.set(SOL_SOCKET, SO_RCVBUFFORCE, int32(RECEIVE_BYTES))
    this.set(SOL_SOCKET, SO_SNDBUFFORCE, int32(SEND_BYTES))
    this.set(SOL_PACKET, PACKET_VNET_HDR, int32(1))
    this.set(SOL_PACKET, PACKET_AUXDATA, int32(1))
    if (!o.outgoing) this.set(SOL_PACKET, PACKET_IGNORE_OUTGOING, int32(1))
    const seen = o.promiscuous ? MEMBER_PROMISCUOUS : MEMBER_ALL_MULTICAST
    this.set(SOL_PACKET, PACKET_ADD_MEMBERSHIP, int32(index, seen, 0, 0))
    this.inward = new Burst(libc, true)
    this.outward = new Burst(libc, false)
    this.bind(index)
  }

  static async open(name: string, o: RawSocketOptions): Promise<RawSocket> {
    return new RawSocket(await loadLibc(), name, o)
  }

  /** An ioctl about the interface (struct ifreq). */
  private request(code: number): Buffer {
    const request = Buffer.alloc(40)
    request.write(this.name, 'latin1')
    if (this.libc.ioctl(this.fd, code, request) < 0) {
      throw unavailable(`the interface '${this.name}' is gone`)
    }
    return request
  }

  private set(level: number, name: number, value: Uint8Array): void {
    if (this.libc.setsockopt(this.fd, level, name, value, value.length) === 0) return
    // A machine that does not let its buffers grow has smaller ones; the rest is needed.
    if (level === SOL_SOCKET) return
    const what = `packet option ${name} (errno ${this.libc.errno()})`
    throw unavailable(`the kernel refuses ${what} on the interface '${this.name}'`)
  }

  private bind(index: number): void {
    const address = Buffer.alloc(20)
    address.writeUInt16LE(AF_PACKET, 0)
    address.writeUInt16BE(ETH_P_ALL, 2)
    address.writeInt32LE(index, 4)
    if (this.libc.bind(this.fd, address, address.length) < 0) {
      throw unavailable(`the interface '${this.name}' cannot be listened to`)
    }
  }

  /** Hands out what has come, a burst at most; how many frames there were. */
  receive(onFrame: OnFrame): number {
    const { libc, inward } = this
    for (let i = 0; i < BURST; i++) {
      inward.messages.writeUInt32LE(CONTROL_BYTES, i * MMSG_BYTES + 40)
    }
    const count = libc.recvmmsg(this.fd, inward.messages, BURST, MSG_DONTWAIT, null)
    // A frame whose offload cannot be told is taken out of the queue, and is an error.
    if (count < 0 && libc.errno() === EINVAL) this.missed++
    if (count <= 0) return 0
    this.received += count
    for (let i = 0; i < count; i++) this.handOut(i, onFrame)
    return count
  }

  private handOut(i: number, onFrame: OnFrame): void {
    const { inward, offload } = this
    const { bytes } = inward
    const length = inward.messages.readUInt32LE(i * MMSG_BYTES + 56)
    const at = i * SLOT_BYTES
    const end = at + Math.min(length, SLOT_BYTES)
    let start = at + VNET_BYTES
    if (end <= start) return
    offload.needsChecksum = (bytes[at]! & 1) === 1
    offload.kind = bytes[at + 1]! & 0x7f
    offload.segmentBytes = bytes.readUInt16LE(at + 4)
    offload.sumStart = start + bytes.readUInt16LE(at + 6)
    offload.sumAt = offload.sumStart + bytes.readUInt16LE(at + 8)
    const tag = this.tagOf(i)
    if (tag >= 0) {
      bytes.copyWithin(start - 4, start, start + 12)
      start -= 4
      bytes.writeUInt32BE(tag, start + 12)
    }
    onFrame(bytes, start, end, offload)
  }

  /** The VLAN tag, which the kernel takes out of the frame; −1: none. */
  private tagOf(i: number): number {
    const { control, messages } = this.inward
    if (messages.readUInt32LE(i * MMSG_BYTES + 40) < 16 + 20) return -1
    const aux = i * CONTROL_BYTES + 16
    const status = control.readUInt32LE(aux)
    if ((status & TP_STATUS_VLAN_VALID) === 0) return -1
    const told = (status & TP_STATUS_VLAN_TPID_VALID) !== 0
    const type = told ? control.readUInt16LE(aux + 18) : ETHER_VLAN
    return type * 0x10000 + control.readUInt16LE(aux + 16)
  }

  /** Gathers a frame; it goes with the burst, or at `flush`. */
  send(frame: Uint8Array): void {
    const { outward, gathered } = this
    const at = gathered * SLOT_BYTES
    if (frame.length > SLOT_BYTES - VNET_BYTES) {
      this.unsent++
      return
    }
    outward.bytes.fill(0, at, at + VNET_BYTES)
    outward.bytes.set(frame, at + VNET_BYTES)
    outward.length(gathered, VNET_BYTES + frame.length)
    if (++this.gathered === BURST) this.flush()
  }

  flush(): void {
    const { libc, outward, gathered } = this
    this.gathered = 0
    for (let at = 0; at < gathered; ) {
      const rest = outward.messages.subarray(at * MMSG_BYTES)
      const count = libc.sendmmsg(this.fd, rest, gathered - at, MSG_DONTWAIT)
      if (count > 0) {
        this.sent += count
        at += count
        continue
      }
      // The line is full: what is left would meet the same. Another fault is that of one frame.
      const full = libc.errno() === EAGAIN || libc.errno() === ENOBUFS
      this.unsent += full ? gathered - at : 1
      at = full ? gathered : at + 1
    }
  }

  /** Takes the kernel's count of what it dropped, which starts anew each time. */
  count(): void {
    const counts = Buffer.alloc(8)
    const { libc, fd } = this
    if (libc.getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, counts, int32(8)) === 0) {
      this.missed += counts.readUInt32LE(4)
    }
  }

  /** Resolves when one of them has frames, or after `ms`; the wait is on a thread of its own. */
  static readable(sockets: readonly RawSocket[], ms: number): Promise<void> {
    const fds = Buffer.alloc(8 * sockets.length)
    sockets.forEach(({ fd }, i) => {
      fds.writeInt32LE(fd, 8 * i)
      fds.writeInt16LE(POLLIN, 8 * i + 4)
    })
    const [first] = sockets
    return new Promise((resolve) => {
      if (!first) return resolve()
      first.libc.poll.async(fds, sockets.length, ms, () => resolve())
    })
  }

  close(): void {
    this.libc.close(this.fd)
  }
}
