import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RehomeError } from '../../actors/index.ts'
import { ACK, FIN, RST, SYN, SYNACK } from './fingerprint.ts'
import { LinkNames } from './links.ts'
import { MacVendors } from './mac-vendors.ts'
import { OsSignatures } from './os-signatures.ts'
import { ServiceSignatures } from './service-signatures.ts'

/** All that an instance knows to recognise hosts by. */
export interface Signatures {
  readonly directory: string
  /** By kind of packet: SYN, SYNACK, ACK, FIN, RST. */
  readonly os: readonly OsSignatures[]
  readonly tcpServices: ServiceSignatures
  readonly tcpClients: ServiceSignatures
  readonly udpServices: ServiceSignatures
  readonly vendors: MacVendors
  readonly links: LinkNames
  /** Signatures that cannot be used, each with its file, line and reason. */
  readonly problems: readonly string[]
}

/** Reads a directory of signatures in real prads's formats; a file that is absent knows nothing. */
export function loadSignatures(directory = ownSignatures()): Signatures {
  if (!existsSync(directory)) {
    throw new RehomeError('bad-argument', `no directory of signatures: ${directory}`)
  }
  const problems: string[] = []
  const read = (name: string) => {
    const file = join(directory, name)
    return [file, existsSync(file) ? readFileSync(file, 'latin1') : ''] as const
  }
  const os: OsSignatures[] = []
  os[SYN] = new OsSignatures(...read('tcp-syn.fp'))
  os[SYNACK] = new OsSignatures(...read('tcp-synack.fp'))
  os[ACK] = new OsSignatures(...read('tcp-stray-ack.fp'))
  os[FIN] = new OsSignatures(...read('tcp-fin.fp'))
  os[RST] = new OsSignatures(...read('tcp-rst.fp'))
  const tcpServices = new ServiceSignatures(...read('tcp-service.sig'), problems)
  const tcpClients = new ServiceSignatures(...read('tcp-clients.sig'), problems)
  const udpServices = new ServiceSignatures(...read('udp-service.sig'), problems)
  const links = new LinkNames(...read('mtu.sig'), problems)
  const vendors = new MacVendors(...read('mac.sig'), problems)
  const known = tcpServices.size + tcpClients.size + udpServices.size + vendors.size
  if (known + os.reduce((n, s) => n + s.size, 0) === 0) {
    throw new RehomeError('bad-input', `no signatures in ${directory}: expected tcp-syn.fp …`)
  }
  return { directory, os, tcpServices, tcpClients, udpServices, vendors, links, problems }
}

/** The project's own set lies in `samples/` of the package, in the sources and in the built package alike. */
function ownSignatures(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const found = join(at, 'samples', 'signatures')
    if (existsSync(found) || at === dirname(at)) return found
  }
}
